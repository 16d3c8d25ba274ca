/** Retry with backoff, full jitter and a budget for the whole isolate. Knows no SQL. */
import { type Clock, systemClock } from "./clock.ts";
import { assertLimits, wholeFrom } from "./limits.ts";
import { sleep } from "./timeout.ts";

/** How often and how long. */
export interface RetryLimits {
  /** Attempts in all: a whole number from 1. */
  readonly attempts: number;
  /** Longest wait before the second attempt, in milliseconds; doubled before each further one, up to `capMs`. Default 50. */
  readonly baseMs?: number;
  readonly capMs?: number;
  /** No attempt but the first begins after this time. Default `Infinity`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly budget?: RetryBudget;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/** What is asked and told after a failure. */
export interface RetryRules {
  /** Whether the work may be done again after this failure, and may then succeed. */
  isRetryable(error: unknown): boolean;
  /** Shortest wait after this failure, to which the jitter is added. Default 0. */
  minWaitMs?(error: unknown): number;
  /** Whether another attempt after this failure spends none of the budget. Default: each spends. */
  isFree?(error: unknown): boolean;
  /** Called as each attempt after the first one begins, with the failure before it. */
  onRetry?(error: unknown): void;
  /** Called when the budget does not allow another attempt. */
  onBudgetDenied?(): void;
}

const LIMITS = {
  attempts: wholeFrom(1),
  // What is left of a time may be less than nothing.
  timeoutMs: { text: "a number", has: (value: number) => !Number.isNaN(value) },
};

/**
 * Does the work until it succeeds, fails with an error that is not retryable, or runs out of attempts, time or budget.
 * Throws the last attempt's own error, and `RangeError` for a limit that is not in its range. A signal that aborts ends the waiting.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  limits: RetryLimits,
  rules: RetryRules,
): Promise<T> {
  // All else is looked at after a failure only.
  const { attempts, timeoutMs = Infinity, signal, budget, clock = systemClock } = limits;
  assertLimits("run the unit", { attempts, timeoutMs }, LIMITS);
  const startedAt = clock.now();
  budget?.deposit(startedAt);
  for (let attempt = 1;; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const { baseMs = 50, capMs = 1_000, random = Math.random } = limits;
      const waitMs = (rules.minWaitMs?.(error) ?? 0) +
        fullJitterMs({ attempt, baseMs, capMs, random });
      const isLast = attempt >= attempts || signal?.aborted ||
        clock.now() + waitMs >= startedAt + timeoutMs;
      if (isLast || !rules.isRetryable(error)) throw error;
      if (!rules.isFree?.(error) && budget?.withdraw(clock.now()) === false) {
        rules.onBudgetDenied?.();
        throw error;
      }
      if (!await sleep(waitMs, { signal, clock })) throw error;
      rules.onRetry?.(error);
    }
  }
}

/**
 * A random time from 0 up to the exponential bound, in milliseconds: callers that failed at one moment do not retry at one
 * moment. https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
 */
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
 * How many retries an isolate may add to its load: one for every five units of work, and ten a second, so that an isolate
 * with few units can retry too. Unused retries are kept, at most ten seconds' worth.
 */
export class RetryBudget {
  static readonly perUnit = 0.2;
  static readonly perSecond = 10;
  static readonly max = 10 * RetryBudget.perSecond;

  #tokens = RetryBudget.perSecond;
  #refilledAtMs: number | undefined;

  /** Must be called once for each unit of work. */
  deposit(nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens = Math.min(RetryBudget.max, this.#tokens + RetryBudget.perUnit);
  }

  /** Takes a retry from the budget. Says whether there was one. */
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
