import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  PoolOverloadedError,
  SessionNotCommittedError,
} from "./errors.ts";
import { classify } from "./failures/classify.ts";
import type { Failure } from "./failures/failure_table.ts";
import {
  databaseErrorIn,
  errorsIn,
  isDatabaseError,
  readProperty,
} from "./failures/database_error.ts";
import { retry, type RetryLimits, type RetryRules } from "./time/retry.ts";
import type { Transaction } from "./session/server_transaction.ts";
import type { Session } from "./session/session.ts";
import { isDuplicateKey, type KeyInsert } from "./session/transaction_key.ts";
import type { UnitMetrics } from "./session/unit_stats.ts";

export interface UnitOptions<T> extends RetryLimits {
  open(attempt: Attempt): OpenedUnit;
  /** The key's unique constraint makes a second run wait for the first one, and fail if that commits. */
  readonly key?: UnitKey<T> | undefined;
  readonly metrics: UnitMetrics;
  /** Runs a promise in the background: see `DatabaseOwner.waitUntil`. */
  waitUntil(rest: Promise<void>): void;
}

/** The key of a unit. */
export interface UnitKey<T> extends KeyInsert {
  /** Reads the result if the unit turns out to be committed. */
  readonly loadResult: () => Promise<T>;
}

/** One attempt: what the work gets, and what its end is judged by. */
export interface OpenedUnit {
  readonly session: Session;
  readonly transaction: Transaction;
}

/** What the session of one attempt must know. */
export interface Attempt {
  /** Counted from 1. */
  readonly number: number;
  /** Whether it needs a connection that was never used before. */
  readonly fresh: boolean;
}

/**
 * Runs a unit of work. Runs the whole unit again if the failed attempt was not applied and the failure is transient.
 * After an answered COMMIT nothing is run again.
 *
 * Throws the last attempt's own error. If an earlier attempt may have been committed, throws that attempt's error
 * instead. Sets `attempts` on the error if there were several. Throws `SessionNotCommittedError` if the work wrote and
 * returned without commit or rollback.
 */
export function runUnit<T>(
  work: (session: Session) => Promise<T>,
  options: UnitOptions<T>,
): Promise<T> {
  return new UnitOfWork(work, options).run();
}

/** One object in place of a closure for each question that `retry` asks. */
class UnitOfWork<T> implements RetryRules {
  readonly #work: (session: Session) => Promise<T>;
  readonly #options: UnitOptions<T>;
  #attempts = 0;
  #outcome: AttemptOutcome = "failed";
  #fresh = false;
  /** Each connection that goes stale in the pool costs one such run, so that these cannot become a storm. */
  #isFree = false;
  /** The error of an attempt that may have been committed, until a later attempt shows whether it was. */
  #unresolvedError: unknown;

  constructor(work: (session: Session) => Promise<T>, options: UnitOptions<T>) {
    this.#work = work;
    this.#options = options;
  }

  async run(): Promise<T> {
    try {
      return await retry(() => this.#attempt(), this.#options, this);
    } catch (last) {
      const { key, metrics } = this.#options;
      const unresolved = this.#unresolvedError;
      if (key !== undefined) {
        if (this.#outcome === "committed") return await resultOf(key.loadResult);
        if (unresolved !== undefined) metrics.counters.unknown++;
      }
      const error = unresolved ?? last;
      if (this.#attempts > 1) noteAttempts(error, this.#attempts);
      throw error;
    }
  }

  async #attempt(): Promise<T> {
    const { open, key, metrics, waitUntil } = this.#options;
    const unit = open({ number: ++this.#attempts, fresh: this.#fresh });
    const { session, transaction } = unit;
    try {
      const value = await this.#work(session);
      // Statements that the work started without awaiting them belong to the unit.
      if (!session.isSettled) await session.idle();
      // The work swallowed the loss of its connection: what it returns may rest on statements that never ran.
      if (transaction.isLost) throw transaction.firstError;
      if (!transaction.hasEnded) await endImplicitly(unit, waitUntil);
      // An attempt that did not commit cannot prove that the earlier, uncertain one did not: throw the earlier error.
      if (this.#unresolvedError !== undefined && !session.isCommitted) throw this.#unresolvedError;
      return value;
    } catch (error) {
      // Gives the connection back before the pause. The session's queue runs this after a COMMIT still in progress.
      await session.rollback();
      this.#outcome = outcomeOfAttempt(error, unit, key);
      if (this.#outcome === "unknown") this.#unresolvedError = error;
      // The idle connections may be as useless as this one. Each would cost an attempt.
      this.#fresh = failureOf(error).connection === "useless";
      this.#isFree = this.#fresh && transaction.flights.hadStaleConnection ||
        transaction.flights.isOnReplica;
      throw error;
    } finally {
      const isResolved = session.isCommitted || this.#outcome === "committed";
      if (this.#unresolvedError !== undefined && isResolved) {
        this.#unresolvedError = undefined;
        metrics.counters.resolved++;
      }
    }
  }

  isRetryable(error: unknown): boolean {
    if (this.#outcome === "retryable") return true;
    if (this.#options.key === undefined) return false;
    return this.#outcome === "unknown" ||
      this.#unresolvedError !== undefined && retryAfterMs(error) > 0;
  }

  isFree(): boolean {
    return this.#isFree;
  }

  minWaitMs(error: unknown): number {
    return retryAfterMs(error);
  }

  onRetry(error: unknown): void {
    this.#options.metrics.retried(failureOf(error).kind);
  }

  onBudgetDenied(): void {
    this.#options.metrics.counters.budgetDenied++;
  }
}

/** The unit is done. A database error here must not look like a failure of the unit. */
async function resultOf<T>(loadResult: () => Promise<T>): Promise<T> {
  try {
    return await loadResult();
  } catch (error) {
    if (databaseErrorIn(error) === undefined) throw error;
    throw new CommitRowsLostError(
      "Cannot return the result as it could not be read: the unit with this key is committed; " +
        "read the result again, and do not repeat the work",
      { cause: error },
    );
  }
}

type AttemptOutcome =
  /** The unit is committed, by this attempt or by another one with its key, but its result is not known. */
  | "committed"
  /** The attempt may have been committed. */
  | "unknown"
  /** The attempt was not applied, and the failure is transient. */
  | "retryable"
  /** The unit is not run again: it failed for good, or its failure came after its commit. */
  | "failed";

/** Asks the attempt's own session first, because the error may come from another unit that the work ran. */
function outcomeOfAttempt(
  error: unknown,
  { session, transaction }: OpenedUnit,
  key: KeyInsert | undefined,
): AttemptOutcome {
  const databaseError = databaseErrorIn(error);
  if (session.isCommitted) {
    return databaseError instanceof CommitRowsLostError ? "committed" : "failed";
  }
  if (transaction.mayHaveCommitted) {
    return databaseError instanceof CommitOutcomeUnknownError ? "unknown" : "failed";
  }
  const isKeyTaken = key !== undefined && isDuplicateKey(databaseError, key);
  if (isKeyTaken && databaseError === transaction.firstError) return "committed";
  // The work's own error may tell of a failure that the work has handled, in a savepoint or another session. The unit is
  // run again only if its transaction failed by what the error holds.
  if (!isDatabaseError(error) && databaseError !== session.failureBehind(error)) return "failed";
  const { applied, transient, kind } = classify(databaseError, "statement");
  // The statement may name what the replica does not have yet.
  const mayPass = transient || kind === "statement_failed" && transaction.flights.isOnReplica;
  return applied === "no" && mayPass && !wasRetriedByInnerUnit(error) ? "retryable" : "failed";
}

/**
 * Whether another unit, run inside the work, has already retried this failure. Retrying it here would multiply
 * attempts.
 */
function wasRetriedByInnerUnit(error: unknown): boolean {
  return errorsIn(error).some((each) => {
    const attempts = readProperty(each, "attempts");
    return typeof attempts === "number" && attempts > 1;
  });
}

/** The shortest pause that the pool asks for when it refuses at once; 0 for any other failure. */
function retryAfterMs(error: unknown): number {
  const databaseError = databaseErrorIn(error);
  return databaseError instanceof PoolOverloadedError ? databaseError.retryAfterMs : 0;
}

function failureOf(error: unknown): Failure {
  return classify(databaseErrorIn(error), "statement");
}

/** Sets `attempts`, if the error takes it. */
function noteAttempts(error: unknown, attempts: number): void {
  if (!(error instanceof Error)) return;
  try {
    Object.defineProperty(error, "attempts", {
      value: attempts,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  } catch {
    // The work's own error comes out as it is.
  }
}

/**
 * Ends a unit whose work returned without commit or rollback. Throws `SessionNotCommittedError` if a commit was needed.
 */
async function endImplicitly(
  { session, transaction }: OpenedUnit,
  waitUntil: UnitOptions<unknown>["waitUntil"],
): Promise<void> {
  const { isolation, readOnly, deferrable } = transaction.settings;
  // Serializable reads may be inconsistent until their transaction has committed, except in a read-only deferrable one:
  // https://www.postgresql.org/docs/current/transaction-iso.html#XACT-SERIALIZABLE
  const readsNeedCommit = transaction.state === "open" && isolation === "serializable" &&
    !(readOnly && deferrable);
  if (transaction.hasWritten || (readsNeedCommit && !readOnly)) {
    throw new SessionNotCommittedError(
      `Cannot ${
        transaction.hasWritten ? "keep the work" : "trust the serializable reads"
      } of the session ` +
        "as it was neither committed nor rolled back: end it with `await session.commit()`, " +
        "or with `await session.rollback()` if it only locks rows or its work is not wanted",
      { cause: transaction.firstError },
    );
  }
  if (readsNeedCommit) await session.commit();
  // Only reads: the caller need not wait for their rollback.
  else waitUntil(session.rollback());
}
