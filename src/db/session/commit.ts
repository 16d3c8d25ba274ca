/** What the answer to a flight with COMMIT means, and what is done where there was no answer. */
import type { FlightAnswer, Result } from "../driver/driver.ts";
import { CommitRolledBackError, CommitRowsLostError, SessionEndedError } from "../errors.ts";
import { classify } from "../failures.ts";
import type { TransactionSettings } from "./begin.ts";
import type { Verdict } from "./commit_outcome.ts";
import { type FlightPlan, foundNoTransaction, isCommit } from "./flight_plan.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import type { TransactionId } from "./xid.ts";

export type CommitAnswer =
  /** `rolled back`: the server answered COMMIT with ROLLBACK, since a statement had failed before. */
  | "committed"
  | "rolled back"
  /** A statement of this flight failed, so that COMMIT was not run, or COMMIT itself was refused. */
  | "failed"
  /** COMMIT ran, and its error leaves it open whether it took effect. */
  | "unknown"
  /** A statement of the author's had ended the transaction before. */
  | "no transaction";

export function readCommitAnswer(
  plan: FlightPlan,
  { results, error }: FlightAnswer,
  settings: TransactionSettings,
): CommitAnswer {
  const commit = plan.commitResult(results);
  if (foundNoTransaction(commit)) return "no transaction";
  if (isCommit(commit)) return "committed";
  if (error === undefined) return "rolled back";
  return plan.hasAllOwn(results) && isUnknownAfter(error, settings) ? "unknown" : "failed";
}

/** After COMMIT was sent, some errors leave it open whether it took effect. A read has no effect to lose. */
export function isUnknownAfter(error: Error, { readOnly }: TransactionSettings): boolean {
  return !readOnly && classify(error, "commit").applied !== "no";
}

/** Finds out what became of a COMMIT that was not answered, or not by a definite answer. Never rejects. */
export async function outcomeOf(
  transactionId: TransactionId | undefined,
  { pool, scope, clock, random, resolveCommit }: TransactionContext,
  { signal, label }: TransactionRequest,
): Promise<Verdict> {
  return await resolveCommit(transactionId, {
    // The lost connection was given back before, so that this request goes ahead of all waiters.
    acquire: ({ signal }) => pool.acquire({ scope, label, signal, fresh: true }),
    signal,
    clock,
    random,
  });
}

/**
 * The results of a committed flight whose answer broke off. Throws the error of a parser that failed, and
 * `CommitRowsLostError` if not all results had come.
 */
export function resultsOfCommitted(
  plan: FlightPlan,
  answered: readonly Result[],
  cause: Error,
): readonly Result[] {
  const results = plan.ownResults(answered);
  const { decodeError } = results.find(({ decodeError }) => decodeError !== undefined) ?? {};
  if (decodeError !== undefined) throw decodeError;
  if (plan.hasAllOwn(answered)) return results;
  throw new CommitRowsLostError(
    "Cannot give the rows of the statements as the connection was lost while they were committed, which they are; " +
      "read them, and do not do the work again",
    { cause },
  );
}

/** The server has answered COMMIT with ROLLBACK, or would. */
export function commitRolledBackError(cause: Error | undefined): CommitRolledBackError {
  return new CommitRolledBackError(
    "Cannot commit as a statement of the transaction failed, so that all of it was rolled back; see the cause",
    { cause },
  );
}

/** A COMMIT or ROLLBACK in a statement's text, or a BEGIN that failed: what follows would run without a transaction. */
export function endedByStatementError(): SessionEndedError {
  return new SessionEndedError(
    "Cannot go on as a statement has ended the transaction; end it with `commit()` or `rollback()` instead",
  );
}
