import type { TransactionSettings } from "./begin.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Pool } from "./pool.ts";
import type { PoolStats } from "./pool_stats.ts";
import { RetryBudget } from "./retry.ts";
import type { OwnerScope } from "./scope.ts";
import { ServerTransaction } from "./server_transaction.ts";
import { Session, type SessionOptions } from "./session.ts";
import { runUnit } from "./transaction.ts";

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
  readonly clock?: Clock;
  readonly random?: () => number;
}

export interface TransactionOptions extends SessionOptions {
  /** Attempts in all, the first included. */
  readonly attempts?: number;
  /** After this long no further attempt begins. */
  readonly timeoutMs?: number;
}

export interface DatabaseStats extends PoolStats {
  /** First flights that were sent again, as their connections had died while they were idle. */
  readonly replayed: number;
}

/** The session factory that requests, queue consumers and scripts share. */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #clock: Clock;
  readonly #budget: RetryBudget;
  #replayed = 0;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#budget = options.budget ?? new RetryBudget();
  }

  /** Opens a session. Costs nothing until its first statement. */
  session({ signal, label, parsers, ...settings }: SessionOptions = {}): Session {
    const { pool, scope, defaults, defer } = this.#options;
    const transaction = new ServerTransaction(
      {
        clock: this.#clock,
        acquire: (options) => pool.acquire({ scope, label, ...options }),
        assertCurrent: () => scope.assertCurrent(),
        onReplay: () => this.#replayed++,
      },
      { settings: { ...defaults, ...settings }, signal: this.#either(signal), parsers },
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
      open: () => this.session(options),
      defer,
      attempts: attempts ?? this.#options.attempts,
      timeoutMs,
      signal: this.#either(options.signal),
      budget: this.#budget,
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

  stats(): DatabaseStats {
    return { ...this.#options.pool.stats(), replayed: this.#replayed };
  }

  /** Refuses new work, lets sessions finish until `timeoutMs`, then cuts them. Resolves when all sockets are shut. */
  async close(options: { timeoutMs: number }): Promise<void> {
    await this.#options.pool.close(options);
  }
}
