/** Runs one statement outside a transaction block. The server commits it at its end, or the statement commits itself. */
import type { FlightAnswer, Notice, Result } from "../driver/driver.ts";
import type { TypeParsers } from "../driver/type_parsers.ts";
import type { Sql } from "../driver/sql.ts";
import { CommitOutcomeUnknownError, ServerError } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import { isUnknownAfter, rowsUnreadableError } from "./commit.ts";
import { STANDALONE_SETTINGS } from "./begin.ts";
import { abortedError } from "./leased_connection.ts";
import { assertLimits, fromZero } from "../time/limits.ts";
import { sendWithDeadline } from "./send_with_deadline.ts";
import { showCaller } from "./statement_error.ts";
import type { TransactionContext } from "./transaction_context.ts";
import { prepareAlone } from "./transaction_control.ts";
import { TransactionRecord } from "./unit_stats.ts";

export interface RunAloneRequest {
  readonly signal: AbortSignal | undefined;
  readonly label: string | undefined;
  readonly parsers: TypeParsers | undefined;
  /** Receives the server's notices. Must not throw. */
  readonly onNotice: ((notice: Notice) => void) | undefined;
  /** Longest wait for the answer; 0 for no limit. */
  readonly timeoutMs: number;
}

const LIMITS = { timeoutMs: fromZero("no limit") };

/**
 * Runs the statement on a connection that nothing has used before, and closes the connection afterwards: the statement
 * finds no state of a session and leaves none, and its answer is not lost with a socket that had died while idle. Sends
 * nothing twice. Throws what `Database.run` names.
 */
export async function runAlone(
  statement: Sql<unknown>,
  context: TransactionContext,
  request: RunAloneRequest,
): Promise<Result> {
  const part = prepareAlone(statement);
  assertLimits("run the statement", request, LIMITS);
  const { clock, metrics, observer } = context;
  const { label, signal, parsers, timeoutMs } = request;
  const begun = { label, attempt: 1, settings: undefined, isRemote: false };
  const record = new TransactionRecord(metrics, clock, observer?.transaction(begun));
  let lease: Lease | undefined;
  let isReplicationCutShort = false;
  const onNotice = (notice: Notice) => {
    // https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    isReplicationCutShort ||= notice.routine === "SyncRepWaitForLSN";
    request.onNotice?.(notice);
  };
  try {
    lease = await acquireUnused(context, request);
    const flight = { lease, parts: [part], parsers, onNotice };
    const deadline = {
      clock,
      signal,
      timeoutMs: () => timeoutMs || Infinity,
      // The connection is closed in any case.
      onCancel: () => {},
    };
    // The signal may have aborted while the statement waited for its connection, or for the settings.
    if (signal?.aborted) throw abortedError(signal);
    // On their own: a statement such as VACUUM must be the only one of its flight.
    await sendWithDeadline({ lease, parts: [STANDALONE_SETTINGS] }, deadline);
    if (signal?.aborted) throw abortedError(signal);
    const answer = await record.flight(
      flight.parts,
      () => sendWithDeadline(flight, deadline).catch(rejectLost),
    );
    const result = resultOf(answer);
    if (isReplicationCutShort) throw outcomeUnknown("not replicated", answer.interruption);
    record.end("committed", undefined);
    return result;
  } catch (error) {
    if (error instanceof CommitOutcomeUnknownError) metrics.counters.unknown++;
    record.end(error instanceof ServerError ? "rolled back" : "lost", error as Error);
    showCaller(error);
    throw error;
  } finally {
    void lease?.destroy();
  }
}

/** A connection that was idle is replaced: its socket may be dead, and its last user may have left state in it. */
async function acquireUnused(
  { pool, scope, holder }: TransactionContext,
  { label, signal, timeoutMs }: RunAloneRequest,
): Promise<Lease> {
  const options = { scope, holder, label, signal, holdMs: timeoutMs || Infinity };
  const lease = await pool.acquire(options);
  if (lease.idleMs === undefined) return lease;
  void lease.destroy();
  return await pool.acquire({ ...options, fresh: true });
}

/** Throws the error of the answer. The server's ERROR is definite, but for the few that leave the outcome open. */
function resultOf({ results, error }: FlightAnswer): Result {
  if (error === undefined) return results[0]!;
  const said = error instanceof ServerError ? error : error.cause;
  // The statement ran, and a parser failed on its rows.
  if (!(said instanceof ServerError)) throw rowsUnreadableError(error);
  rejectLost(error);
}

/** Throws `error`, or `CommitOutcomeUnknownError` if the statement may have taken effect all the same. */
function rejectLost(error: Error): never {
  throw isUnknownAfter(error, { readOnly: false })
    ? outcomeUnknown("no transaction", error)
    : error;
}

function outcomeUnknown(
  reason: CommitOutcomeUnknownError["reason"],
  cause: Error | undefined,
): CommitOutcomeUnknownError {
  return new CommitOutcomeUnknownError({ xid: undefined, reason }, { cause });
}
