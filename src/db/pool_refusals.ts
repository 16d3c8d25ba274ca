/** The words with which a pool refuses: what it could not do, why, its state, and the way out. */
import {
  AcquireTimeoutError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
} from "./errors.ts";
import type { PoolStats } from "./pool_stats.ts";

/** For refusals that come of the load, which the pool cannot foresee. */
const RETRY_AFTER_MS = 1_000;

export function queueFullError(stats: PoolStats, cause: Error | undefined): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as the queue is full: ${counts(stats)}; ` +
      "retry later, shorten transactions, or raise DATABASE_POOL_SIZE",
    { retryAfterMs: RETRY_AFTER_MS, cause },
  );
}

export function shedError(stats: PoolStats, delayMs: number): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as the queue has been slow for too long: ` +
      `waited ${Math.round(delayMs)} ms, ${counts(stats)}; ` +
      "retry later, shorten transactions, or raise DATABASE_POOL_SIZE",
    { retryAfterMs: RETRY_AFTER_MS },
  );
}

export function outageError(remainingMs: number, cause: Error | undefined): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as the database could not be reached: ${cause?.message}; ` +
      `the next attempt is due in ${Math.ceil(remainingMs)} ms`,
    { retryAfterMs: remainingMs, cause },
  );
}

export function timeoutError(
  stats: PoolStats,
  { timeoutMs, cause }: { timeoutMs: number; cause: Error | undefined },
): AcquireTimeoutError {
  const wayOut = stats.leased < stats.limit && stats.opening > 0
    ? "the database is slow to accept connections: see whether it can be reached"
    : "shorten transactions, or raise DATABASE_POOL_SIZE or DATABASE_POOL_TIMEOUT";
  return new AcquireTimeoutError(
    `Cannot lease a connection as none came free within ${timeoutMs} ms: ${
      counts(stats)
    }; ${wayOut}`,
    { retryAfterMs: RETRY_AFTER_MS, cause },
  );
}

export function abortedError(signal: AbortSignal): DeadlineError {
  return new DeadlineError("Cannot lease a connection as the caller gave up", {
    cause: signal.reason,
  });
}

export function poolClosedError(): PoolClosedError {
  return new PoolClosedError("Cannot lease a connection as the pool is closed");
}

function counts({ limit, opening, leased, idle, closing, waiting }: PoolStats): string {
  return `${leased} leased, ${idle} idle, ${opening} opening, ${closing} closing of ${limit}, ` +
    `${waiting} waiting`;
}
