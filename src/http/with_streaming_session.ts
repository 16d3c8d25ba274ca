/** Database sessions for responses that are written while their rows are read. */

import type { Context, Env } from "hono";
import type { Session, SessionOptions } from "../db/mod.ts";
import { trackBody } from "./tracked_body.ts";
import { asError, databaseOf, type DatabaseVariables } from "./with_session.ts";

/** How to run the session of a streamed body, and how to read the request before it. */
export interface WithStreamingSessionOptions<E extends Env, Input>
  extends Omit<SessionOptions, "readOnly"> {
  /** Reads and validates the request. Runs once, before the session is opened. Its error goes to `app.onError`. */
  readonly parse?: (c: Context<E>) => Input | Promise<Input>;
  /** Longest time for the whole body, including the reader's pauses. Then the body breaks off. Default 30,000. */
  readonly bodyTimeoutMs?: number;
}

/**
 * Makes a handler whose response body reads from the session while it is written:
 *
 * ```ts
 * app.get("/export", withStreamingSession({}, (c, session) =>
 *   c.body(ReadableStream.from(csvOf(session.stream(sql`select * from users`))))));
 * ```
 *
 * The session is read only. It ends when the body ends or breaks off, and holds its lease until then, for at most
 * `bodyTimeoutMs`. The timeouts of its transaction apply as well. The handler never runs again, because sent bytes
 * cannot be taken back. If the body breaks off, the client must see an error and not a complete body: a
 * `ReadableStream` ensures that, Hono's `stream()` does not.
 *
 * `serializable` without `deferrable` is answered with a `TypeError`, because its reads are valid only after COMMIT.
 */
export function withStreamingSession<
  E extends { Variables: DatabaseVariables },
  Input = void,
>(
  { parse, bodyTimeoutMs = 30_000, signal, ...settings }: WithStreamingSessionOptions<E, Input>,
  handler: (c: Context<E>, session: Session, input: Input) => Response | Promise<Response>,
): (c: Context<E>) => Promise<Response> {
  return async function streamInSession(c) {
    let session: Session | undefined;
    try {
      const input = await parse?.(c) as Input;
      const broken = new AbortController();
      const signals = signal === undefined ? [broken.signal] : [broken.signal, signal];
      const ownSession = session = databaseOf(c).session({
        ...settings,
        readOnly: true,
        signal: AbortSignal.any(signals),
      });
      assertStreamable(session);
      const response = await handler(c, session, input);
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
  };
}

function assertStreamable({ settings }: Session): void {
  if (settings.isolation !== "serializable" || settings.deferrable) return;
  throw new TypeError(
    "Cannot stream rows at isolation level serializable as they are valid only after COMMIT; " +
      "set deferrable: true, or isolation: 'repeatable read'",
  );
}
