import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  CommitRowsLostError,
  DatabaseLayerError,
  PoolOverloadedError,
  SessionNotCommittedError,
  StatementSkippedError,
} from "./errors.ts";
import { classify } from "./failures.ts";
import { retry, type RetryOptions } from "./time/retry.ts";
import type { Session } from "./session/session.ts";
import { isDuplicateKey } from "./session/transaction_key.ts";
import type { UnitMetrics } from "./session/unit_stats.ts";

export interface UnitOptions<T>
  extends Pick<RetryOptions, "attempts" | "timeoutMs" | "signal" | "budget" | "clock" | "random"> {
  /** Opens the session of one attempt; 1 is the first. */
  open(attempt: number): Session;
  /**
   * Of a unit with a key, a second run of which fails once the first is committed, and cannot overtake it: gives what
   * the work would have given, once it is known to be done.
   */
  readonly loadResult?: (() => Promise<T>) | undefined;
  readonly metrics: UnitMetrics;
  /** Takes over what need not be waited for. */
  waitUntil(rest: Promise<void>): void;
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
  { open, waitUntil, loadResult, metrics, ...options }: UnitOptions<T>,
): Promise<T> {
  const isKeyed = loadResult !== undefined;
  let attempts = 0;
  let ending = "failed" as Ending;
  /** An attempt that may have been committed, as long as those after it have not found out. */
  let inDoubt: unknown;

  async function attempt(): Promise<T> {
    const session = open(++attempts);
    try {
      const value = await work(session);
      // What the work has begun and not waited for is part of it.
      await session.idle();
      await endUnsaid(session, waitUntil);
      // What commits nothing finds nothing out.
      if (inDoubt !== undefined && !session.isCommitted) throw inDoubt;
      return value;
    } catch (error) {
      // The connection goes back before the wait for the next attempt, and after a COMMIT that is still under way.
      await session.rollback();
      ending = endingOf(error, session);
      if (ending === "in doubt") inDoubt = error;
      throw error;
    } finally {
      if (inDoubt !== undefined && (session.isCommitted || ending === "done")) {
        inDoubt = undefined;
        metrics.counters.resolved++;
      }
    }
  }

  try {
    return await retry(attempt, {
      ...options,
      isRetryable: (error) =>
        ending === "repeatable" ||
        isKeyed && (ending === "in doubt" || inDoubt !== undefined && stayAwayMs(error) > 0),
      minWaitMs: stayAwayMs,
      onRetry: (error) => metrics.retried(kindOf(error)),
      onBudgetDenied: () => metrics.counters.budgetDenied++,
    });
  } catch (last) {
    if (isKeyed && ending === "done") return await loadResult();
    if (isKeyed && inDoubt !== undefined) metrics.counters.unknown++;
    const error = inDoubt ?? last;
    if (attempts > 1 && error instanceof Error) Object.assign(error, { attempts });
    throw error;
  }
}

type Ending =
  /** It is committed, though what it gives is not known: by this attempt, or by another of its key. */
  | "done"
  /** It may be committed. */
  | "in doubt"
  /** It left nothing behind, and may succeed the next time. */
  | "repeatable"
  | "failed";

/** What an attempt came to. Its own session tells: the error may be that of another unit, begun within the work. */
function endingOf(error: unknown, session: Session): Ending {
  const own = decisiveIn(error);
  if (session.isCommitted) return own instanceof CommitRowsLostError ? "done" : "failed";
  if (session.mayHaveCommitted) {
    return own instanceof CommitOutcomeUnknownError ? "in doubt" : "failed";
  }
  if (isDuplicateKey(own) && own === session.firstError) return "done";
  const { applied, transient } = classify(own, "statement");
  return applied === "no" && transient && !wasRetried(error) ? "repeatable" : "failed";
}

/** What a unit within the work has retried in vain is not worth as many attempts again. */
function wasRetried(error: unknown): boolean {
  return chainOf(error).some((each) => "attempts" in each && Number(each.attempts) > 1);
}

/** What the pool, which refused at once, asks for; 0 for any other failure. */
function stayAwayMs(error: unknown): number {
  const own = decisiveIn(error);
  return own instanceof PoolOverloadedError ? own.retryAfterMs : 0;
}

function kindOf(error: unknown): string {
  return classify(decisiveIn(error), "statement").kind;
}

/** The work may have wrapped the database's error in one of its own; what that one means is ours alone to say. */
function decisiveIn(error: unknown): DatabaseLayerError | undefined {
  return chainOf(error).find((each) => each instanceof DatabaseLayerError && !isConsequence(each));
}

/** The error and its causes. */
function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (; chain.length < 5 && error instanceof Error; error = error.cause) chain.push(error);
  return chain;
}

/** Of an earlier failure, which is the one that counts. */
function isConsequence(error: Error): boolean {
  return error instanceof CommitRolledBackError || error instanceof StatementSkippedError;
}

/** Ends a unit that succeeded and did not say how. */
async function endUnsaid(
  session: Session,
  waitUntil: UnitOptions<unknown>["waitUntil"],
): Promise<void> {
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
  else waitUntil(session.rollback());
}
