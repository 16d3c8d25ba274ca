import type { TransactionSettings } from "./begin.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Observer } from "./observer.ts";
import type { Pool } from "./pool.ts";
import type { PoolStats } from "./pool_stats.ts";
import type { PoolView } from "./pool_view.ts";
import { RetryBudget } from "./retry.ts";
import type { OwnerScope } from "./scope.ts";
import { ServerTransaction } from "./server_transaction.ts";
import { Session, type SessionOptions } from "./session.ts";
import { runUnit } from "./transaction.ts";
import { TransactionRecord, UnitMetrics, type UnitStats } from "./unit_stats.ts";

export interface DatabaseOptions {
  readonly pool: Pool;
  readonly scope: OwnerScope;
  /** What a session begins with unless it says otherwise. */
  readonly defaults: TransactionSettings;
  /** Attempts in all for a unit of work. */
  readonly attempts: number;
  /**
   * Takes over a promise that need not be waited for, its failure included, such as that of an `afterCommit` hook:
   * `waitUntil` on Workers, the process's own list on Deno.
   */
  readonly defer: (rest: Promise<void>) => void;
  /** Ends every session, beside the session's own: of the request that all of them are for. */
  readonly signal?: AbortSignal | undefined;
  /** Shared by all that run in one isolate. */
  readonly budget?: RetryBudget;
  /** Shared likewise. */
  readonly metrics?: UnitMetrics;
  readonly observer?: Observer | undefined;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export interface TransactionOptions extends SessionOptions {
  /** Attempts in all, the first included. */
  readonly attempts?: number;
  /** After this long no further attempt begins. */
  readonly timeoutMs?: number;
}

/** What the pool tells, and what all that share `metrics` have done with it. */
export interface DatabaseStats extends PoolStats, UnitStats {}

/** The session factory that requests, queue consumers and scripts share. */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #clock: Clock;
  readonly #budget: RetryBudget;
  readonly #metrics: UnitMetrics;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#budget = options.budget ?? new RetryBudget();
    this.#metrics = options.metrics ?? new UnitMetrics();
  }

  /** Opens a session. Costs nothing until its first statement. */
  session(options: SessionOptions = {}): Session {
    return this.#open(options, 1);
  }

  #open({ signal, label, parsers, ...own }: SessionOptions, attempt: number): Session {
    const { pool, scope, defaults, defer, observer } = this.#options;
    const settings = { ...defaults, ...own };
    const begun = { label, attempt, settings };
    const transaction = new ServerTransaction(
      {
        clock: this.#clock,
        acquire: (options) => pool.acquire({ scope, label, ...options }),
        assertCurrent: () => scope.assertCurrent(),
        counters: this.#metrics.counters,
        record: () =>
          new TransactionRecord(this.#metrics, this.#clock, observer?.transaction(begun)),
      },
      { settings, signal: this.#either(signal), parsers },
    );
    return new Session(transaction, { defer });
  }

  /**
   * Runs a unit of work in a session, again and whole where a failure left nothing behind and may pass. The work must
   * commit what it wrote, and should have no effects but those of its session.
   */
  async transaction<T>(
    work: (session: Session) => Promise<T>,
    { attempts, timeoutMs, ...options }: TransactionOptions = {},
  ): Promise<T> {
    const { defer, random } = this.#options;
    return await runUnit(work, {
      open: (attempt) => this.#open(options, attempt),
      defer,
      attempts: attempts ?? this.#options.attempts,
      timeoutMs,
      signal: this.#either(options.signal),
      budget: this.#budget,
      metrics: this.#metrics,
      clock: this.#clock,
      ...(random === undefined ? {} : { random }),
    });
  }

  #either(own: AbortSignal | undefined): AbortSignal | undefined {
    const { signal } = this.#options;
    return own === undefined || signal === undefined
      ? own ?? signal
      : AbortSignal.any([own, signal]);
  }

  /** What each connection of the pool is doing, for people to read. */
  inspect(): PoolView {
    return this.#options.pool.inspect();
  }

  stats(): DatabaseStats {
    return { ...this.#options.pool.stats(), ...this.#metrics.snapshot() };
  }

  /** Refuses new work, lets sessions finish until `timeoutMs`, then cuts them. Resolves when all sockets are shut. */
  async close(options: { timeoutMs: number }): Promise<void> {
    await this.#options.pool.close(options);
  }
}
