import type { Clock } from "../time/clock.ts";
import type { Connection, FlightAnswer, FlightOptions, FlightPart } from "../driver/driver.ts";
import { DeadlineError, PoolClosedError } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import { completesWithin } from "../time/timeout.ts";

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Asked once, when the login is over, which has a deadline of its own. */
  readonly timeoutMs: () => number;
  /** A cancel request goes out: from now on the connection is nobody else's. */
  readonly onCancel: () => void;
}

/** How long a cancel request and the answer to it may take before the connection is cut. */
const CANCEL_TIMEOUT_MS = 500;

/**
 * Sends a flight on a leased connection and watches over it: the server enforces its timeouts, and this side the
 * server's silence, the caller's signal, and the pool's wish to have the connection back. An interrupted flight is
 * cancelled on the server; what was done before the server heard of it is done, and answered so.
 */
export async function sendWithDeadline(
  { lease, parts, parsers }: { lease: Lease; parts: readonly FlightPart[] } & FlightOptions,
  { clock, signal, timeoutMs, onCancel }: DeadlineOptions,
): Promise<FlightAnswer> {
  const { connection } = lease;
  let interruption: ((cause: unknown) => Error) | undefined;
  const interrupt = (toError: (cause: unknown) => Error) => {
    if (interruption !== undefined) return;
    interruption = toError;
    onCancel();
    void stop({ connection, answered }, clock);
  };
  const abort = () => interrupt((cause) => deadlineError("the caller gave up", cause));

  lease.flight = { parts, sinceMs: clock.now() };
  const answered = connection.flight(parts, { parsers });
  answered.catch(() => {});
  let disarm = () => {};
  let isOver = false;
  const arm = () => {
    // What could not be sent is over before the login is.
    if (isOver) return;
    const limitMs = timeoutMs();
    disarm = clock.after(limitMs, () => {
      interrupt((cause) => deadlineError(`no answer within ${limitMs} ms`, cause));
    });
  };
  if (connection.state === "opening") connection.ready.then(arm, () => {});
  else arm();
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  lease.onRevoke = () => interrupt(revokedError);
  try {
    const answer = await answered;
    if (interruption === undefined || answer.error === undefined) return answer;
    return { ...answer, error: interruption(answer.error) };
  } catch (error) {
    throw interruption?.(error) ?? error;
  } finally {
    isOver = true;
    disarm();
    signal?.removeEventListener("abort", abort);
    lease.onRevoke = undefined;
    lease.flight = undefined;
  }
}

/** Asks the server to stop, waits a little for its answer, then cuts the connection. */
async function stop(
  { connection, answered }: { connection: Connection; answered: Promise<unknown> },
  clock: Clock,
): Promise<void> {
  void connection.cancel({ timeoutMs: CANCEL_TIMEOUT_MS });
  const settled = answered.then(() => {}, () => {});
  // A login cannot be cancelled, only left.
  const waitMs = connection.state === "opening" ? 0 : CANCEL_TIMEOUT_MS;
  if (!await completesWithin(settled, waitMs, clock)) await connection.close({ timeoutMs: 0 });
}

function deadlineError(reason: string, cause: unknown): DeadlineError {
  return new DeadlineError(`Cannot finish the statement: ${reason}`, { cause });
}

function revokedError(cause: unknown): PoolClosedError {
  return new PoolClosedError("Cannot finish the statement as the pool is closing", { cause });
}
