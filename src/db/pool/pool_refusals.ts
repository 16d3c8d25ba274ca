/**
 * The words with which a pool refuses: what it could not do, why, its state, and the way out. Whatever comes out of
 * `acquire` carries that state, a failed connect's error included.
 */
import {
  AcquireTimeoutError,
  DatabaseLayerError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  ScopeError,
} from "../errors.ts";
import type { PoolCounts } from "../errors.ts";

/** What every refusal tells. */
export interface RefusalFacts {
  readonly counts: PoolCounts;
  readonly waitedMs: number;
  /** The newest connect failure, if connects fail. */
  readonly cause: Error | undefined;
}

/** For refusals that come of the load, which the pool cannot foresee. */
const RETRY_AFTER_MS = 1_000;

const MORE_ROOM = "retry later, shorten transactions, or raise DATABASE_POOL_SIZE";

/** Puts the pool's state on the error. */
export function withPoolState<E extends Error>(error: E, { counts, waitedMs }: RefusalFacts): E {
  if (error instanceof DatabaseLayerError) {
    const { limit, opening, leased, idle, closing, waiting } = counts;
    error.pool = { limit, opening, leased, idle, closing, waiting, waitedMs };
  }
  return error;
}

export function queueFullError(facts: RefusalFacts): PoolOverloadedError {
  return overloaded("the queue is full", MORE_ROOM, facts);
}

export function shedError(facts: RefusalFacts): PoolOverloadedError {
  return overloaded("the queue has been slow for too long", MORE_ROOM, facts);
}

export function outageError(remainingMs: number, facts: RefusalFacts): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as the database could not be reached: ${facts.cause?.message}; ` +
      `${state(facts)}; the next attempt is due in ${Math.ceil(remainingMs)} ms`,
    { retryAfterMs: remainingMs, cause: facts.cause },
  );
}

export function timeoutError(facts: RefusalFacts): AcquireTimeoutError {
  const { counts, cause } = facts;
  const wayOut = counts.leased < counts.limit && counts.opening > 0
    ? "the database is slow to accept connections: see whether it can be reached"
    : "shorten transactions, or raise DATABASE_POOL_SIZE or DATABASE_POOL_TIMEOUT";
  return new AcquireTimeoutError(
    `Cannot lease a connection as none came free in time: ${state(facts)}; ${wayOut}`,
    { retryAfterMs: RETRY_AFTER_MS, cause },
  );
}

export function abortedError(reason: unknown, facts: RefusalFacts): DeadlineError {
  return new DeadlineError(
    `Cannot lease a connection as the caller gave up: ${state(facts)}; ` +
      "give the work more time, or raise DATABASE_POOL_SIZE if it is the wait that takes it",
    { cause: reason },
  );
}

export function poolClosedError(facts: RefusalFacts): PoolClosedError {
  return new PoolClosedError(
    `Cannot lease a connection as the pool is closed: ${state(facts)}; ask another instance`,
    { cause: facts.cause },
  );
}

export function holdAndWaitError(facts: RefusalFacts): ScopeError {
  return new ScopeError(
    "Cannot lease a second connection for this request as all are in use, and requests that wait for each other's " +
      `would wait for ever: ${
        state(facts)
      }; use one session for the whole request, or end the first one before`,
    { cause: facts.cause },
  );
}

function overloaded(reason: string, wayOut: string, facts: RefusalFacts): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as ${reason}: ${state(facts)}; ${wayOut}`,
    { retryAfterMs: RETRY_AFTER_MS, cause: facts.cause },
  );
}

function state({ counts, waitedMs }: RefusalFacts): string {
  const { limit, opening, leased, idle, closing, waiting } = counts;
  return `${leased} leased, ${idle} idle, ${opening} opening, ${closing} closing of ${limit}, ` +
    `${waiting} waiting, waited ${Math.round(waitedMs)} ms`;
}
