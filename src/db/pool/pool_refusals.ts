/**
 * Why `acquire` refuses a caller. Each error text names the reason, the pool's state and the way out: the service's variable,
 * and the library's option in brackets. Every error of `acquire` carries that state in `pool`, also the `ConnectError` of a
 * failed connect.
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
import type { PoolCounters } from "./pool_stats.ts";

/** The pool's state at a refusal. */
export interface RefusalFacts {
  readonly counts: PoolCounts;
  /** How long the caller has waited; 0 if it was refused at once. */
  readonly waitedMs: number;
  /** The newest connect failure, if the newest connect failed. */
  readonly cause: Error | undefined;
}

export interface Refusal {
  /** The counter that the refusal adds to. */
  readonly counter?: keyof PoolCounters | undefined;
  readonly toError: (facts: RefusalFacts) => Error;
}

/** A guess, for refusals by load: the pool cannot foresee when a permit comes free. */
const RETRY_AFTER_MS = 1_000;

/** The refusal's error, with the pool's state in it. */
export function errorOf({ toError }: Refusal, facts: RefusalFacts): Error {
  const error = toError(facts);
  if (error instanceof DatabaseLayerError) {
    const { limit, opening, leased, idle, closing, waiting } = facts.counts;
    error.pool = { limit, opening, leased, idle, closing, waiting, waitedMs: facts.waitedMs };
  }
  return error;
}

export const QUEUE_FULL: Refusal = {
  counter: "queueFull",
  toError: (facts) => overloaded("the queue is full", facts),
};

export const SHED: Refusal = {
  counter: "shed",
  toError: (facts) => overloaded("the wait for one would be too long", facts),
};

export const TIMED_OUT: Refusal = {
  counter: "timedOut",
  toError: (facts) => {
    const { counts, cause } = facts;
    const wayOut = counts.leased < counts.limit && counts.opening > 0
      ? "the database is slow to accept connections: check whether it can be reached"
      : "shorten transactions, or raise DATABASE_POOL_SIZE (pool.size) or DATABASE_POOL_TIMEOUT " +
        "(pool.acquireTimeoutMs)";
    return new AcquireTimeoutError(
      `Cannot lease a connection as none came free in time: ${stateOf(facts)}; ${wayOut}`,
      { retryAfterMs: RETRY_AFTER_MS, cause },
    );
  },
};

export const POOL_CLOSED: Refusal = {
  toError: (facts) =>
    new PoolClosedError(
      `Cannot lease a connection as the pool is closed: ${stateOf(facts)}; ask another instance`,
      { cause: facts.cause },
    ),
};

export const HOLD_AND_WAIT: Refusal = {
  counter: "holdAndWait",
  toError: (facts) =>
    new ScopeError(
      "Cannot lease a second connection for this request as all are in use, and requests that hold one while they wait " +
        `for another would deadlock: ${stateOf(facts)}; ` +
        "use one session for the whole request, with savepoints for its parts, or end the first one before",
      { cause: facts.cause },
    ),
};

export function aborted(reason: unknown): Refusal {
  return {
    counter: "aborted",
    toError: (facts) =>
      new DeadlineError(
        `Cannot lease a connection as the caller gave up: ${stateOf(facts)}; ` +
          "give the work more time, or raise DATABASE_POOL_SIZE (pool.size) if the wait takes most of it",
        { cause: reason },
      ),
  };
}

export function unreachable(retryInMs: number): Refusal {
  return {
    counter: "unreachable",
    toError: (facts) =>
      new PoolOverloadedError(
        `Cannot lease a connection as the database could not be reached: ${facts.cause?.message}; ` +
          `${stateOf(facts)}; the next attempt is due in ${Math.ceil(retryInMs)} ms`,
        { retryAfterMs: retryInMs, isUnreachable: true, cause: facts.cause },
      ),
  };
}

/** The waiter gets the error of the connect that was for it. */
export function connectFailed(error: Error): Refusal {
  return { toError: () => error };
}

function overloaded(reason: string, facts: RefusalFacts): PoolOverloadedError {
  return new PoolOverloadedError(
    `Cannot lease a connection as ${reason}: ${stateOf(facts)}; ` +
      "retry later, shorten transactions, or raise DATABASE_POOL_SIZE (pool.size)",
    { retryAfterMs: RETRY_AFTER_MS, cause: facts.cause },
  );
}

function stateOf({ counts, waitedMs }: RefusalFacts): string {
  const { limit, opening, leased, idle, closing, waiting } = counts;
  return `${leased} leased, ${idle} idle, ${opening} opening, ${closing} closing of ${limit}, ` +
    `${waiting} waiting, waited ${Math.round(waitedMs)} ms`;
}
