import type { TransactionSettings } from "./session/begin.ts";
import { type Clock, systemClock } from "./time/clock.ts";
import type { Observer } from "./session/observer.ts";
import type { Pool } from "./pool/pool.ts";
import type { AcquireOptions } from "./pool/pool_options.ts";
import type { PoolStats } from "./pool/pool_stats.ts";
import type { PoolView } from "./pool/pool_view.ts";
import { RetryBudget } from "./time/retry.ts";
import type { OwnerScope } from "./pool/owner_scope.ts";
import { ServerTransaction } from "./session/server_transaction.ts";
import { Session, type SessionOptions } from "./session/session.ts";
import { type Settle, settle } from "./session/commit_outcome.ts";
import { runUnit } from "./unit_of_work.ts";
import { claim } from "./session/transaction_key.ts";
import { TransactionRecord, UnitMetrics, type UnitStats } from "./session/unit_stats.ts";

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
  /** Finds out what became of a lost COMMIT: by asking the server, unless a test has another way. */
  readonly settle?: Settle | undefined;
}

export interface TransactionOptions extends SessionOptions {
  /** Attempts in all, the first included. */
  readonly attempts?: number;
  /** After this long no further attempt begins. */
  readonly timeoutMs?: number;
}

export interface KeyedTransactionOptions<T> extends TransactionOptions {
  /**
   * From 1 to 255 characters. A unit of work of this key is done once, whoever asks for it and however often, for as
   * long as the key is kept. Wants the table of `TRANSACTION_KEYS_TABLE`.
   */
  readonly key: string;
  /** Reads what `work` would have given, once it is known to be done already. */
  readonly recall: (session: Session) => Promise<T>;
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
    const { defer } = this.#options;
    return new Session(this.#begin(options, { attempt: 1 }), { defer });
  }

  /**
   * Runs a unit of work in a session, again and whole where a failure left nothing behind and may pass. The work must
   * commit what it wrote, and should have no effects but those of its session. A transaction that is begun in the work
   * of another one is a unit of its own; what it has retried in vain, the outer one does not retry.
   *
   * With a key the work is also run again after a COMMIT of unknown outcome, as the key makes sure that one of the
   * runs counts.
   */
  async transaction<T>(
    work: (session: Session) => Promise<T>,
    options: TransactionOptions | KeyedTransactionOptions<T> = {},
  ): Promise<T> {
    if (!("key" in options)) return await this.#unit(work, options);
    const { key, recall, ...rest } = options;
    return await this.#unit(work, rest, {
      key,
      recall: () => this.#unit(recall, { ...rest, readOnly: true }),
    });
  }

  async #unit<T>(
    work: (session: Session) => Promise<T>,
    { attempts, timeoutMs, ...options }: TransactionOptions,
    { key, recall }: { key?: string; recall?: () => Promise<T> } = {},
  ): Promise<T> {
    const { defer, random } = this.#options;
    return await runUnit(work, {
      open: (attempt) => new Session(this.#begin(options, { attempt, key }), { defer }),
      defer,
      recall,
      attempts: attempts ?? this.#options.attempts,
      timeoutMs,
      signal: this.#either(options.signal),
      budget: this.#budget,
      metrics: this.#metrics,
      clock: this.#clock,
      ...(random === undefined ? {} : { random }),
    });
  }

  #begin(
    { signal, label, parsers, ...own }: SessionOptions,
    { attempt, key }: { attempt: number; key?: string | undefined },
  ): ServerTransaction {
    const { pool, scope, defaults, observer } = this.#options;
    const { settle: find = settle, random = Math.random } = this.#options;
    const clock = this.#clock;
    const settings = { ...defaults, ...own };
    const acquire = (options: Omit<AcquireOptions, "scope" | "label">) =>
      pool.acquire({ scope, label, ...options });
    const transaction = new ServerTransaction(
      {
        clock,
        acquire,
        assertCurrent: () => scope.assertCurrent(),
        settle: (identity, { signal }) =>
          find(identity, {
            // The lost connection was given back before, and whoever settles waits behind nobody.
            acquire: ({ signal }) => acquire({ signal, fresh: true }),
            signal,
            clock,
            random,
          }),
        counters: this.#metrics.counters,
        isKeyed: key !== undefined,
        record: () =>
          new TransactionRecord(
            this.#metrics,
            clock,
            observer?.transaction({ label, attempt, settings }),
          ),
      },
      { settings, signal: this.#either(signal), parsers },
    );
    if (key !== undefined) transaction.ride(claim(key));
    return transaction;
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
