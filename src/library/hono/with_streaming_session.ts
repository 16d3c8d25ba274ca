/** Database sessions for responses that are written while their rows are read. */

import type { Context, Input } from "hono";
import type { Session, SessionOptions } from "../../db/mod.ts";
import { trackBody } from "./tracked_body.ts";
import { asError, type DatabaseEnv, databaseOf } from "./with_session.ts";

/** How to run the session of a streamed body. */
export interface StreamingSessionOptions extends Omit<SessionOptions, "readOnly"> {
  /** Longest time for the whole body, including the reader's pauses. Then the body breaks off. Default 30,000. */
  readonly bodyTimeoutMs?: number;
}

/**
 * Makes a response whose body reads from the session while it is written:
 *
 * ```ts
 * app.get("/export", (c) => withStreamingSession(c, (session) =>
 *   c.body(bodyOf(csvOf(session.stream(sql`select * from users`))))));
 * ```
 *
 * The session is read only. It ends when the body ends or breaks off, and holds its lease until then, for at most
 * `bodyTimeoutMs`. The timeouts of its transaction apply as well. `work` never runs again, because sent bytes cannot be
 * taken back. If the body breaks off, the client must see an error and not a complete body: `bodyOf` ensures that,
 * Hono's `stream()` does not.
 *
 * Throws `TypeError` at `serializable` without `deferrable`, because its reads are valid only after COMMIT, and if
 * `provideDatabase` did not run.
 */
export async function withStreamingSession<
  E extends DatabaseEnv,
  P extends string,
  I extends Input,
>(
  c: Context<E, P, I>,
  work: (session: Session) => Response | Promise<Response>,
  { bodyTimeoutMs = 30_000, signal, ...settings }: StreamingSessionOptions = {},
): Promise<Response> {
  let session: Session | undefined;
  try {
    const broken = new AbortController();
    const signals = signal === undefined ? [broken.signal] : [broken.signal, signal];
    const ownSession = session = databaseOf(c as Context).session({
      ...settings,
      readOnly: true,
      signal: AbortSignal.any(signals),
    });
    assertStreamable(session);
    const response = await work(session);
    return trackBody(response, {
      // Hono runs the GET handler for HEAD, and never reads the body.
      hasReader: c.req.method !== "HEAD",
      timeoutMs: bodyTimeoutMs,
      onAbort: (reason) => broken.abort(reason),
      onEnd: () => ownSession[Symbol.asyncDispose](),
    });
  } catch (thrown) {
    await session?.rollback();
    throw asError(thrown);
  }
}

function assertStreamable({ settings }: Session): void {
  if (settings.isolation !== "serializable" || settings.deferrable) return;
  throw new TypeError(
    "Cannot stream rows at isolation level serializable as they are valid only after COMMIT; " +
      "set deferrable: true, or isolation: 'repeatable read'",
  );
}
