import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  CommitRowsLostError,
  DatabaseLayerError,
  SessionNotCommittedError,
  StatementSkippedError,
} from "./errors.ts";
import { judge } from "./failures.ts";
import { retry, type RetryOptions } from "./retry.ts";
import type { Session } from "./session.ts";
import { isClaimed } from "./transaction_key.ts";
import type { UnitMetrics } from "./unit_stats.ts";

export interface UnitOptions
  extends Pick<RetryOptions, "attempts" | "timeoutMs" | "signal" | "budget" | "clock" | "random"> {
  /** Opens the session of one attempt; 1 is the first. */
  open(attempt: number): Session;
  /** Whether a second run fails once the first is committed, and cannot overtake it. */
  readonly isKeyed: boolean;
  readonly metrics: UnitMetrics;
  /** Takes over what need not be waited for. */
  defer(rest: Promise<void>): void;
}

/**
 * Runs a unit of work, and runs it again, whole, when its failure left nothing behind and may pass: so the work must
 * have no effects but those of its session. Once a COMMIT has been answered, nothing is run again.
 *
 * Throws the last attempt's own error, with `attempts` on it, unless an earlier one may have been committed: then that
 * one's. Throws `SessionNotCommittedError` for work that wrote, returned, and neither committed nor rolled back.
 */
export async function runUnit<T>(
  work: (session: Session) => Promise<T>,
  { open, defer, isKeyed, metrics, ...options }: UnitOptions,
): Promise<T> {
  let attempts = 0;
  let isRepeatable = false;
  /** An attempt that may have been committed, as long as those after it have not found out. */
  let inDoubt: unknown;
  try {
    return await retry(async () => {
      attempts++;
      const session = open(attempts);
      try {
        const value = await work(session);
        // What the work has begun and not waited for is part of it.
        await session.settled();
        await endUnsaid(session, defer);
        return value;
      } catch (error) {
        // The connection goes back before the wait for the next attempt, and after a COMMIT that is still under way.
        await session.rollback();
        isRepeatable = isTransient(error) && !session.mayHaveCommitted ||
          isKeyed && isUnknown(error) && !session.isCommitted;
        if (isUnknown(error)) inDoubt = error;
        throw error;
      }
    }, {
      ...options,
      isRetryable: () => isRepeatable,
      onRetry: (error) => metrics.retried(kindOf(error)),
      onBudgetDenied: () => metrics.counters.budgetDenied++,
    });
  } catch (last) {
    const error = isDone(last) ? last : inDoubt ?? last;
    if (attempts > 1 && error instanceof Error) Object.assign(error, { attempts });
    throw error;
  }
}

function isTransient(error: unknown): boolean {
  const own = decisiveIn(error);
  // What a unit within the work has retried in vain is not worth as many attempts again.
  if (own === undefined || (own.attempts ?? 1) > 1) return false;
  const { applied, transient } = judge(own, "statement");
  return applied === "no" && transient;
}

/** Whether the work is known to be committed, though what it gives is not known: by this unit, or by another of its key. */
export function isDone(error: unknown): boolean {
  const own = decisiveIn(error);
  return own instanceof CommitRowsLostError || isClaimed(own);
}

function isUnknown(error: unknown): boolean {
  return decisiveIn(error) instanceof CommitOutcomeUnknownError;
}

function kindOf(error: unknown): string {
  return judge(decisiveIn(error), "statement").kind;
}

/** The work may have wrapped the database's error in one of its own; what that one means is ours alone to say. */
function decisiveIn(error: unknown): DatabaseLayerError | undefined {
  for (let depth = 0; depth < 5 && error instanceof Error; depth++) {
    if (error instanceof DatabaseLayerError && !isConsequence(error)) return error;
    error = error.cause;
  }
  return undefined;
}

/** Of an earlier failure, which is the one that counts. */
function isConsequence(error: Error): boolean {
  return error instanceof CommitRolledBackError || error instanceof StatementSkippedError;
}

/** Ends a unit that succeeded and did not say how. */
async function endUnsaid(session: Session, defer: UnitOptions["defer"]): Promise<void> {
  if (session.hasEnded) return;
  const { isolation, readOnly, deferrable } = session.settings;
  // https://www.postgresql.org/docs/current/transaction-iso.html#XACT-SERIALIZABLE: until then they may not be consistent.
  const readsAwaitCommit = session.isOpen && isolation === "serializable" &&
    !(readOnly && deferrable);
  if (session.hasWritten || (readsAwaitCommit && !readOnly)) {
    throw new SessionNotCommittedError(
      `Cannot ${
        session.hasWritten ? "keep the work" : "trust the serializable reads"
      } of the session ` +
        "as it was neither committed nor rolled back: end it with `await session.commit()`",
      { cause: session.firstError },
    );
  }
  if (readsAwaitCommit) await session.commit();
  // Reads that nobody committed: their rollback need not hold up the answer.
  else defer(session.rollback());
}
