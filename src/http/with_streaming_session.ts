/** Sessions behind bodies that are written while their rows are read. */

import type { Context, Env } from "hono";
import type { Session, SessionOptions } from "../db/mod.ts";
import { endWithBody } from "./end_with_body.ts";
import { asError, databaseOf, type DatabaseVariables } from "./with_session.ts";

/** How to run the session behind a streamed body, and what to read of the request before it. */
export interface WithStreamingSessionOptions<E extends Env, Input>
  extends Omit<SessionOptions, "readOnly"> {
  /** Reads and validates the request, once and before there is a session. What it throws is the handler's error. */
  readonly parse?: (c: Context<E>) => Input | Promise<Input>;
  /** Longest time for the whole body, its reader's pauses included, after which it breaks off; 30,000 if not said. */
  readonly bodyTimeoutMs?: number;
}

/**
 * A handler whose body reads from its session while it is written:
 *
 * ```ts
 * app.get("/export", withStreamingSession({}, (c, session) =>
 *   c.body(ReadableStream.from(csvOf(session.stream(sql`select * from users`))))));
 * ```
 *
 * The session is read only. It ends with the body, however that ends, and holds its lease until then, at most for
 * `bodyTimeoutMs`; its transaction's own timeouts hold as well. Nothing is run again, since what was sent can't be
 * taken back. A body that breaks off must fail, so that its reader can tell: a `ReadableStream` does, Hono's
 * `stream()` ends it as if it were whole.
 *
 * Throws `TypeError` at `serializable` without `deferrable`, where reads count only once COMMIT is answered.
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
      const givenUp = new AbortController();
      const signals = signal === undefined ? [givenUp.signal] : [givenUp.signal, signal];
      const ownSession = session = databaseOf(c).session({
        ...settings,
        readOnly: true,
        signal: AbortSignal.any(signals),
      });
      assertStreamable(session);
      const response = await handler(c, session, input);
      return endWithBody(response, {
        // Hono answers HEAD with the head of what GET would answer, and never reads the body.
        isWanted: c.req.method !== "HEAD",
        timeoutMs: bodyTimeoutMs,
        onGiveUp: (reason) => givenUp.abort(reason),
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
    "Cannot stream what a session reads at serializable as it counts only once COMMIT is answered; " +
      "set deferrable: true, or isolation: 'repeatable read'",
  );
}
