import type { Clock } from "../time/clock.ts";
import type { Connection, FlightAnswer, FlightOptions, FlightPart } from "../driver/driver.ts";
import { DeadlineError, PoolClosedError } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import { describeError } from "./statement_error.ts";
import { completesWithin } from "../time/timeout.ts";

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Longest wait for the answer. Called once, after the login, which has a deadline of its own. */
  readonly timeoutMs: (nowMs: number) => number;
  /** Called when a cancel request is sent. The connection must not be used for another lease from then on. */
  readonly onCancel: () => void;
  /** What `clock` has just shown, if the caller has looked at it. */
  readonly nowMs?: number;
}

/** How long a cancel request and the server's answer to the flight may take before the connection is closed. */
const CANCEL_TIMEOUT_MS = 500;

/**
 * Sends a flight on a leased connection. Interrupts it if no answer comes in time, if the caller's signal aborts, or if
 * the pool revokes the lease: sends a cancel request to the server, and closes the connection if the flight is not
 * answered soon after. The server's own timeouts work independently of this.
 *
 * If an interrupted flight still succeeds, resolves with its answer, which then has an `interruption`. Otherwise the
 * error, in the answer or as the rejection, is `DeadlineError`, or `PoolClosedError` for a revoked lease. Its cause is
 * the server's error or the lost connection.
 */
export async function sendWithDeadline(
  { lease, parts, parsers, onNotice }:
    & { lease: Lease; parts: readonly FlightPart[] }
    & FlightOptions,
  { clock, signal, timeoutMs, onCancel, nowMs = clock.now() }: DeadlineOptions,
): Promise<FlightAnswer> {
  const { connection } = lease;
  /** Makes the error of an interrupted flight from its cause. */
  let interruption: ((cause: unknown) => Error) | undefined;
  const interrupt = (toError: (cause: unknown) => Error) => {
    if (interruption !== undefined) return;
    interruption = toError;
    lease.isInterrupted = true;
    onCancel();
    void cancelThenClose({ connection, answered }, clock);
  };
  const abort = signal &&
    (() => interrupt((cause) => deadlineError("the caller gave up", cause)));

  lease.flight = { parts, sinceMs: nowMs };
  const answered = connection.flight(parts, { parsers, onNotice });
  let stopTimer: (() => void) | undefined;
  let isFinished = false;
  const startTimer = (nowMs: number) => {
    const limitMs = timeoutMs(nowMs);
    stopTimer = clock.after(limitMs, () => {
      interrupt((cause) => deadlineError(`no answer within ${limitMs} ms`, cause));
    }, nowMs);
  };
  if (connection.state !== "opening") startTimer(nowMs);
  // A flight that could not be sent has ended before the login.
  else lease.onTurn(() => isFinished || startTimer(clock.now()));
  if (abort !== undefined) {
    if (signal!.aborted) abort();
    signal!.addEventListener("abort", abort, { once: true });
  }
  // Not as one expression: V8 puts a function literal that is assigned to a property into its old generation, where all that
  // the function refers to, which is the whole flight, stays until a full collection.
  const revoke = () => interrupt(revokedError);
  lease.onRevoke = revoke;
  try {
    const answer = await answered;
    describeError(answer, parts);
    if (interruption === undefined) return answer;
    const error = interruption(answer.error);
    return answer.error === undefined ? { ...answer, interruption: error } : { ...answer, error };
  } catch (error) {
    throw interruption?.(error) ?? error;
  } finally {
    isFinished = true;
    stopTimer?.();
    if (abort !== undefined) signal!.removeEventListener("abort", abort);
    lease.onRevoke = undefined;
    lease.flight = undefined;
  }
}

/** Sends a cancel request, waits `CANCEL_TIMEOUT_MS` for the answer to the flight, then closes the connection. */
async function cancelThenClose(
  { connection, answered }: { connection: Connection; answered: Promise<unknown> },
  clock: Clock,
): Promise<void> {
  void connection.cancel({ timeoutMs: CANCEL_TIMEOUT_MS });
  const settled = answered.then(() => {}, () => {});
  // PostgreSQL cannot cancel a login: the connection is closed at once.
  const waitMs = connection.state === "opening" ? 0 : CANCEL_TIMEOUT_MS;
  if (!await completesWithin(settled, waitMs, clock)) await connection.close({ timeoutMs: 0 });
}

function deadlineError(reason: string, cause: unknown): DeadlineError {
  return new DeadlineError(`Cannot finish the statement: ${reason}`, { cause });
}

function revokedError(cause: unknown): PoolClosedError {
  return new PoolClosedError("Cannot finish the statement as the pool is closing", { cause });
}
