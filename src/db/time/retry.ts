/** Trying again: when, how often, and how much of it an isolate can afford. Knows nothing of SQL. */
import { type Clock, systemClock } from "./clock.ts";
import { sleep } from "./timeout.ts";

export interface RetryOptions {
  /** Attempts in all, at least 1. */
  readonly attempts: number;
  /** Whether the failed work may be done again and may then succeed. */
  readonly isRetryable: (error: unknown) => boolean;
  /** Longest wait before the second attempt; doubled before each further one, up to `capMs`. */
  readonly baseMs?: number;
  readonly capMs?: number;
  /** Shortest wait after this failure: the jitter comes on top. None unless said otherwise. */
  readonly minWaitMs?: (error: unknown) => number;
  /** After this long no further attempt begins. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly budget?: RetryBudget;
  /** Told of each attempt after the first one, as it begins, with the failure that it follows. */
  readonly onRetry?: (error: unknown) => void;
  /** Told of each attempt that there would be if the budget allowed it. */
  readonly onBudgetDenied?: () => void;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/**
 * Does the work until it succeeds, fails for good, or has used up its attempts, its budget or the caller's patience.
 * The error that comes out is the last attempt's own.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  {
    attempts,
    isRetryable,
    baseMs = 50,
    capMs = 1_000,
    minWaitMs = () => 0,
    timeoutMs = Infinity,
    signal,
    budget,
    onRetry,
    onBudgetDenied,
    clock = systemClock,
    random = Math.random,
  }: RetryOptions,
): Promise<T> {
  if (!(attempts >= 1)) {
    throw new RangeError(
      `Cannot retry as 'attempts' must be at least 1: current value is ${attempts}`,
    );
  }
  const endsAt = clock.now() + timeoutMs;
  budget?.deposit(clock.now());
  for (let attempt = 1;; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const waitMs = minWaitMs(error) + fullJitterMs({ attempt, baseMs, capMs, random });
      const isLast = attempt >= attempts || signal?.aborted || clock.now() + waitMs >= endsAt;
      if (isLast || !isRetryable(error)) throw error;
      if (budget?.withdraw(clock.now()) === false) {
        onBudgetDenied?.();
        throw error;
      }
      if (!await sleep(waitMs, { signal, clock })) throw error;
      onRetry?.(error);
    }
  }
}

/** Anything from 0 up to the exponential bound, so that those who failed together do not come back together. */
export function fullJitterMs(
  { attempt, baseMs, capMs, random }: {
    attempt: number;
    baseMs: number;
    capMs: number;
    random: () => number;
  },
): number {
  return random() * Math.min(capMs, baseMs * 2 ** (attempt - 1));
}

/**
 * How many retries an isolate may add to its load: a fifth of its units of work, and ten a second, so that a quiet
 * one can retry at all. What is not used is kept for ten seconds' worth at most.
 */
export class RetryBudget {
  static readonly perUnit = 0.2;
  static readonly perSecond = 10;
  static readonly max = 10 * RetryBudget.perSecond;

  #tokens = RetryBudget.perSecond;
  #refilledAtMs: number | undefined;

  /** To be called once for each unit of work. */
  deposit(nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens = Math.min(RetryBudget.max, this.#tokens + RetryBudget.perUnit);
  }

  /** Whether there is one for a retry; takes it if so. */
  withdraw(nowMs: number): boolean {
    this.#refill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #refill(nowMs: number): void {
    const elapsedMs = nowMs - (this.#refilledAtMs ?? nowMs);
    this.#refilledAtMs = nowMs;
    this.#tokens = Math.min(
      RetryBudget.max,
      this.#tokens + elapsedMs / 1_000 * RetryBudget.perSecond,
    );
  }
}
