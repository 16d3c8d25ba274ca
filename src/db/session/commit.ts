/** Reads the answer to a flight with COMMIT, and has a lost COMMIT resolved. */
import type { FlightAnswer, Result } from "../driver/driver.ts";
import { CommitRolledBackError, CommitRowsLostError, SessionEndedError } from "../errors.ts";
import { classify, isEndedByServer } from "../failures/classify.ts";
import type { TransactionSettings } from "./transaction_settings.ts";
import type { Verdict } from "./commit_outcome.ts";
import { type FlightPlan, isCommit } from "./flight_plan.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import type { TransactionId } from "./xid.ts";

export type CommitAnswer =
  | "committed"
  /** The server answered COMMIT with ROLLBACK, because an earlier statement had failed. */
  | "rolled back"
  /** A statement of this flight failed, so that COMMIT was not run; or COMMIT itself failed. */
  | "failed"
  /** COMMIT ran, and its error does not say whether it took effect. */
  | "unknown"
  /** COMMIT took effect on the primary, but its wait for a synchronous standby was cancelled. */
  | "not replicated"
  /** One of the caller's statements had ended the transaction before COMMIT. */
  | "no transaction";

export function readCommitAnswer(
  plan: FlightPlan,
  { results, error, interruption }: FlightAnswer,
  settings: TransactionSettings,
): CommitAnswer {
  const commit = plan.commitResult(results);
  if (plan.endByStatement(results) !== undefined) return "no transaction";
  if (isCommit(commit)) {
    // https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    const { notice } = commit!;
    const isCutShort = notice?.routine === "SyncRepWaitForLSN" ||
      interruption !== undefined && notice !== undefined;
    return isCutShort && !settings.readOnly ? "not replicated" : "committed";
  }
  // A read-only transaction has no effect that could fail at its end.
  if (plan.isImplicit && plan.hasAllOwn(results)) return "committed";
  if (error === undefined) return "rolled back";
  return plan.hasAllOwn(results) && isUnknownAfter(error, settings) ? "unknown" : "failed";
}

/** Whether COMMIT may have taken effect despite the error. Never for a read-only transaction: it has no effect. */
export function isUnknownAfter(
  error: Error,
  { readOnly }: Pick<TransactionSettings, "readOnly">,
): boolean {
  return !readOnly && classify(error, "commit").applied !== "no";
}

/**
 * Whether a COMMIT of the plan may have taken effect although its connection was lost. A FATAL of the server proves that
 * it was not reached if a result in front of it is missing.
 */
export function isUnknownAfterLoss(
  error: Error,
  plan: FlightPlan,
  results: readonly Result[],
  settings: TransactionSettings,
): boolean {
  return plan.wasSent && plan.mayCommit && isUnknownAfter(error, settings) &&
    (plan.mayHaveReachedCommit(results) || !isEndedByServer(error));
}

/** Finds the outcome of a COMMIT that got no definite answer. Never rejects. */
export async function outcomeOf(
  transactionId: TransactionId | undefined,
  { pool, scope, holder, clock, random, resolveCommit, clusters }: TransactionContext,
  { signal, label }: TransactionRequest,
): Promise<Verdict> {
  // Another transaction may have learned the cluster of this incarnation since the xid was read.
  const identified = transactionId && {
    ...transactionId,
    systemIdentifier: clusters.systemIdentifier(transactionId.incarnation),
  };
  const { generation } = pool;
  return await resolveCommit(identified, {
    // The lost connection has been given back already, so this is not a second lease of the same owner.
    // `fresh` goes ahead of all waiters and opens a new connection.
    acquire: ({ signal }) => pool.acquire({ scope, holder, label, signal, fresh: true }),
    // Idle connections may lead to the server that the address has left. The unit must not run again there.
    onOtherServer: () => pool.endGeneration(generation),
    signal,
    clock,
    random,
  });
}

/**
 * The results of a committed flight whose answer was cut off. Throws `CommitRowsLostError` if a parser failed, or if the
 * server had not sent all results.
 */
export function resultsOfCommitted(
  plan: FlightPlan,
  answered: readonly Result[],
  cause: Error,
): readonly Result[] {
  const results = plan.ownResults(answered);
  const { decodeError } = results.find(({ decodeError }) => decodeError !== undefined) ?? {};
  if (decodeError !== undefined) throw rowsUnreadableError(decodeError);
  if (plan.hasAllOwn(answered)) return results;
  throw new CommitRowsLostError(
    "Cannot return the rows as the connection was lost during COMMIT: the transaction is committed; " +
      "read the rows again, and do not repeat the work",
    { cause },
  );
}

/** For a committed write whose rows a parser failed to read. */
export function rowsUnreadableError(cause: Error): CommitRowsLostError {
  return new CommitRowsLostError(
    "Cannot return the rows as a parser failed on them: the transaction is committed; " +
      "read the rows again, and do not repeat the work",
    { cause },
  );
}

/** For a COMMIT that the server answered, or would answer, with ROLLBACK. */
export function commitRolledBackError(cause: Error | undefined): CommitRolledBackError {
  return new CommitRolledBackError(
    "Cannot commit as a statement of the transaction failed and the transaction was rolled back; see the cause",
    { cause },
  );
}

/** A statement's text was COMMIT or ROLLBACK, or BEGIN failed: further statements would run without a transaction. */
export function endedByStatementError(): SessionEndedError {
  return new SessionEndedError(
    "Cannot continue as a statement has ended the transaction; end it with `commit()` or `rollback()` instead",
  );
}
