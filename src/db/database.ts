import type { TransactionSettings } from "./session/begin.ts";
import { type Clock, systemClock } from "./time/clock.ts";
import type { Observer } from "./session/observer.ts";
import type { Pool } from "./pool/pool.ts";
import type { PoolStats } from "./pool/pool_stats.ts";
import type { PoolView } from "./pool/pool_view.ts";
import { RetryBudget } from "./time/retry.ts";
import type { OwnerScope } from "./pool/owner_scope.ts";
import { Transaction } from "./session/server_transaction.ts";
import { Session, type SessionOptions } from "./session/session.ts";
import { type ResolveCommit, resolveCommit } from "./session/commit_outcome.ts";
import { ScopeError } from "./errors.ts";
import { runUnit } from "./unit_of_work.ts";
import type { TransactionContext } from "./session/transaction_context.ts";
import { insertKey } from "./session/transaction_key.ts";
import { UnitMetrics, type UnitStats } from "./session/unit_stats.ts";

/** What the databases of all owners in one isolate share. */
export interface DatabaseOptions {
  readonly pool: Pool;
  /** What a session begins with unless it says otherwise. */
  readonly defaults: TransactionSettings;
  /** Attempts in all for a unit of work. */
  readonly attempts: number;
  readonly budget?: RetryBudget;
  readonly metrics?: UnitMetrics;
  readonly observer?: Observer | undefined;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
  /** Finds out what became of a lost COMMIT: by asking the server, unless a test has another way. */
  readonly resolveCommit?: ResolveCommit | undefined;
}

/** Whose sockets a database opens, and what becomes of its work. */
export interface DatabaseOwner {
  readonly scope: OwnerScope;
  /**
   * Takes over a promise that need not be waited for, its failure included, such as that of an `afterCommit` hook:
   * `waitUntil` on Workers, the process's own list on Deno.
   */
  readonly waitUntil: (rest: Promise<void>) => void;
  /** Ends every session, beside the session's own signal: of the request that all of them are for. */
  readonly signal?: AbortSignal | undefined;
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
  readonly loadResult: (session: Session) => Promise<T>;
}

/** What the pool tells, and what all that share `metrics` have done with it. */
export interface DatabaseStats extends PoolStats, UnitStats {}

/** What runs units of work: all of a `Database` that request handlers and consumers need. */
export type TransactionRunner = Pick<Database, "session" | "transaction">;

/**
 * The session factory that requests, queue consumers and scripts share. Connects to nothing until a session's first
 * statement.
 */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #owner: DatabaseOwner | undefined;
  readonly #clock: Clock;
  readonly #budget: RetryBudget;
  readonly #metrics: UnitMetrics;

  /** Without an owner, sessions are opened by the databases that `forOwner` gives, and by those alone. */
  constructor(options: DatabaseOptions, owner?: DatabaseOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#clock = options.clock ?? systemClock;
    this.#budget = options.budget ?? new RetryBudget();
    this.#metrics = options.metrics ?? new UnitMetrics();
  }

  /** The same database, pool, budget and counters for another owner of sockets: on Workers, for each request. */
  forOwner(owner: DatabaseOwner): Database {
    return new Database({ ...this.#options, budget: this.#budget, metrics: this.#metrics }, owner);
  }

  /** Opens a session. Costs nothing until its first statement. Throws `ScopeError` without an owner. */
  session(options: SessionOptions = {}): Session {
    return this.#open(options, { attempt: 1 });
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
    const { key, loadResult, ...rest } = options;
    return await this.#unit(work, rest, {
      key,
      loadResult: () => this.#unit(loadResult, { ...rest, readOnly: true }),
    });
  }

  async #unit<T>(
    work: (session: Session) => Promise<T>,
    { attempts, timeoutMs, ...options }: TransactionOptions,
    { key, loadResult }: { key?: string; loadResult?: () => Promise<T> } = {},
  ): Promise<T> {
    const { random } = this.#options;
    const { waitUntil, signal } = this.#owned();
    return await runUnit(work, {
      open: (attempt) => this.#open(options, { attempt, key }),
      waitUntil,
      loadResult,
      attempts: attempts ?? this.#options.attempts,
      timeoutMs,
      signal: either(options.signal, signal),
      budget: this.#budget,
      metrics: this.#metrics,
      clock: this.#clock,
      ...(random === undefined ? {} : { random }),
    });
  }

  #open(
    { signal, label, parsers, ...own }: SessionOptions,
    { attempt, key }: { attempt: number; key?: string | undefined },
  ): Session {
    const { waitUntil, signal: ownerSignal } = this.#owned();
    const transaction = new Transaction(this.#context(), {
      settings: { ...this.#options.defaults, ...own },
      signal: either(signal, ownerSignal),
      parsers,
      label,
      attempt,
      isKeyed: key !== undefined,
    });
    if (key !== undefined) transaction.flights.prepend(insertKey(key));
    return new Session(transaction, { waitUntil });
  }

  #context(): TransactionContext {
    const { pool, observer, random = Math.random, resolveCommit: resolve = resolveCommit } =
      this.#options;
    const { scope } = this.#owned();
    const [clock, metrics] = [this.#clock, this.#metrics];
    return { pool, scope, clock, random, metrics, observer, resolveCommit: resolve };
  }

  #owned(): DatabaseOwner {
    if (this.#owner !== undefined) return this.#owner;
    throw new ScopeError(
      "Cannot open a session as the database has no owner for its sockets; " +
        "use the database that forOwner({ scope, waitUntil }) gives for the request",
    );
  }

  /** What each connection of the pool is doing, for people to read. */
  inspect(): PoolView {
    return this.#options.pool.inspect();
  }

  stats(): DatabaseStats {
    return { ...this.#options.pool.stats(), ...this.#metrics.snapshot() };
  }

  /** Closes the connections of an owner that has ended. Resolves when their sockets are shut. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#options.pool.endScope(scope);
  }

  /** Refuses new work, lets sessions finish until `timeoutMs`, then cuts them. Resolves when all sockets are shut. */
  async close(options: { timeoutMs: number }): Promise<void> {
    await this.#options.pool.close(options);
  }
}

function either(
  one: AbortSignal | undefined,
  other: AbortSignal | undefined,
): AbortSignal | undefined {
  return one === undefined || other === undefined ? one ?? other : AbortSignal.any([one, other]);
}
