import { assertSettings } from "../session/assert_settings.ts";
import { withOptions } from "../session/transaction_settings.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { bothObservers, type Observer } from "../session/observer.ts";
import { RetryBudget } from "../time/retry.ts";
import { LeaseHolder } from "../pool/lease_holder.ts";
import type { OwnerScope } from "../pool/owner_scope.ts";
import { Transaction } from "../session/server_transaction.ts";
import { Session } from "../session/session.ts";
import type { SessionOptions } from "../session/session_options.ts";
import { resolveCommit } from "../session/commit_outcome.ts";
import { KnownClusters } from "../session/known_clusters.ts";
import { ScopeError } from "../errors.ts";
import { noticeHook } from "../session/notice_hook.ts";
import { RawConnection } from "../session/raw_connection.ts";
import { runAlone } from "../session/run_alone.ts";
import type { Sql } from "../driver/sql.ts";
import { type Attempt, type OpenedUnit, runUnit, type UnitKey } from "../unit_of_work.ts";
import type { TransactionContext, TransactionRequest } from "../session/transaction_context.ts";
import { type KeyInsert, keyInsertOf, prependedInsert } from "../session/transaction_key.ts";
import { UnitMetrics } from "../session/unit_stats.ts";
import type {
  ConnectOptions,
  DatabaseOptions,
  DatabaseOwner,
  DatabaseStats,
  DatabaseTotals,
  DatabaseView,
  KeyedTransactionOptions,
  RunOptions,
  TransactionOptions,
} from "./database_options.ts";

/** The part of a `Database` that request handlers and queue consumers use. */
export interface TransactionRunner extends Pick<Database, "session" | "transaction"> {
  /** See `Database.forRequest`. */
  forRequest(observer?: Observer): TransactionRunner;
}

/** What the databases of all owners share besides the options. */
interface SharedParts {
  readonly clock: Clock;
  readonly budget: RetryBudget;
  readonly metrics: UnitMetrics;
  readonly clusters: KnownClusters;
}

/**
 * Opens sessions and runs units of work, for requests, queue consumers and scripts. It connects with the first
 * statement of a session, not before.
 */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #owner: DatabaseOwner | undefined;
  readonly #shared: SharedParts;
  readonly #holder: LeaseHolder | undefined;
  #madeContext: TransactionContext | undefined;

  /**
   * Without `owner`, the database opens no sessions itself: use the one that `forOwner` returns. Throws `RangeError` for a
   * timeout and `TypeError` for a level or a local in `defaults` that cannot be sent.
   */
  constructor(
    options: DatabaseOptions,
    owner?: DatabaseOwner,
    /** @internal What another database shares with this one, and who counts the leases. */
    { shared, holder }: { shared?: SharedParts; holder?: LeaseHolder | undefined } = {},
  ) {
    if (shared === undefined) assertSettings(options.defaults, "open the database");
    this.#options = options;
    this.#owner = owner;
    this.#shared = shared ?? {
      clock: options.clock ?? systemClock,
      budget: options.budget ?? new RetryBudget(),
      metrics: options.metrics ?? new UnitMetrics(),
      clusters: options.clusters ?? new KnownClusters(),
    };
    this.#holder = holder;
  }

  /** Returns a database with the same pool, budget and counters for another owner. On Workers: one for each request. */
  forOwner(owner: DatabaseOwner): Database {
    return this.#sharing(owner);
  }

  /** Returns the same owner's database with another signal, or without one for work that outlives a request. */
  withSignal(signal: AbortSignal | undefined): Database {
    return this.#sharing({ ...this.#requireOwner(), signal }, this.#holder);
  }

  /**
   * Returns this database for one request of an owner that serves many: a process or a Durable Object. `provideDatabase`
   * calls it for each request. While a unit of the request holds a connection, another unit of it that would have to
   * wait until someone returns theirs throws `ScopeError` at once, because requests that wait so would deadlock. On the
   * database itself, for scripts, such units wait until the pool's timeout.
   *
   * `observer` receives the request's transactions, as the database's own observer does.
   */
  forRequest(observer?: Observer): Database {
    const owner = this.#observedBy(observer);
    // Of a Worker's request, the scope counts the leases itself.
    if (owner?.scope.lasting === true) return this.#sharing(owner, new LeaseHolder());
    return owner === undefined || owner === this.#owner ? this : this.#sharing(owner);
  }

  #observedBy(observer: Observer | undefined): DatabaseOwner | undefined {
    if (observer === undefined || this.#owner === undefined) return this.#owner;
    const before = this.#owner.observer ?? this.#options.observer;
    return { ...this.#owner, observer: bothObservers(before, observer) };
  }

  /** Each request gets such a database, so that it costs little. */
  #sharing(owner: DatabaseOwner, holder?: LeaseHolder): Database {
    return new Database(this.#options, owner, { shared: this.#shared, holder });
  }

  /** Opens a session. Nothing is leased or sent before its first statement. Throws `ScopeError` without an owner. */
  session(options: SessionOptions = {}): Session {
    return this.#open(options, { number: 1, fresh: false }).session;
  }

  /**
   * Runs a unit of work: calls `work` with a session and returns its result. `work` must call `session.commit()` if it
   * writes, and must have no effects outside its session, because it may run several times.
   *
   * After a failure, the whole unit is run again if its transaction was not applied and the failure is transient
   * (`failures/` has the rules). With a `key` it is also run again after a COMMIT of unknown outcome, because the key
   * lets at most one run commit. A `transaction` called inside `work` is a unit of its own, on a second connection; if
   * its attempts are used up, the outer unit does not retry either.
   *
   * Throws the last attempt's own error, with the number of attempts as `attempts` if there were several;
   * `CommitOutcomeUnknownError` if an attempt may have been committed and no later one could clear that up;
   * `SessionNotCommittedError` if `work` wrote and neither committed nor rolled back; `ScopeError` without an owner;
   * `RangeError` for a key that is empty or too long, and for a limit that is not in its range.
   */
  async transaction<T>(
    work: (session: Session) => Promise<T>,
    options: TransactionOptions | KeyedTransactionOptions<T> = {},
  ): Promise<T> {
    if (!("key" in options)) return await this.#runUnit(work, options);
    // What has become of the key, only the primary knows.
    const { key, loadResult, replica: _, ...rest } = options;
    const keyInsert = keyInsertOf(key);
    assertLoadResult(loadResult);
    return await this.#runUnit(work, rest, {
      ...keyInsert,
      loadResult: () => this.#runUnit(loadResult, { ...rest, readOnly: true }),
    });
  }

  /**
   * Runs one statement outside a transaction and returns its rows: VACUUM, CREATE INDEX CONCURRENTLY, CREATE DATABASE,
   * ALTER SYSTEM, CALL of a procedure that commits, and what else the server refuses inside one. Never sends it twice.
   * The role's own settings hold, apart from the format of values. Its connection is its own, and is closed afterwards.
   *
   * After an error, what the statement has committed by itself stays, such as the invalid index of CREATE INDEX
   * CONCURRENTLY. Throws `ServerError` for an ERROR of the server; `DeadlineError` if it was stopped after `timeoutMs` or
   * an abort; `CommitOutcomeUnknownError` if its answer was lost; `CommitRowsLostError` if a parser failed on its rows;
   * `TypeError` for BEGIN, COMMIT and their like, COPY with a stream, and a value that cannot be sent; `RangeError` for a
   * `timeoutMs` that is no number from 0; the pool's refusals; and `ScopeError` without an owner.
   */
  async run<Row>(
    statement: Sql<Row>,
    { timeoutMs, ...options }: RunOptions = {},
  ): Promise<Row[]> {
    const { rows } = await runAlone(statement, this.#context(), {
      ...this.#request(options),
      timeoutMs: timeoutMs ?? this.#options.defaults.statementTimeoutMs,
    });
    return rows as Row[];
  }

  /**
   * Leases a connection for code that brings its own transactions, such as another library: it runs each statement as it
   * is said, BEGIN and COMMIT too. Nothing is run again, a lost COMMIT is not looked up, and there is no `afterCommit`.
   * A transaction has the timeouts of `DatabaseOptions.defaults`. Give the connection back by `release()`, or by `await
   * using`. Throws what `Pool.acquire` throws, and `ScopeError` without an owner.
   */
  async connect(
    { onClosed, ...options }: ConnectOptions = {},
  ): Promise<RawConnection> {
    return await RawConnection.open(this.#context(), {
      ...this.#request(options),
      settings: this.#options.defaults,
      onClosed,
    });
  }

  #runUnit<T>(
    work: (session: Session) => Promise<T>,
    { attempts, timeoutMs, ...options }: TransactionOptions,
    key?: UnitKey<T>,
  ): Promise<T> {
    const { random = Math.random } = this.#options;
    const { waitUntil, signal } = this.#requireOwner();
    return runUnit(work, {
      open: (attempt) => this.#open(options, { ...attempt, key }),
      waitUntil,
      key,
      attempts: attempts ?? this.#options.attempts,
      timeoutMs,
      signal: anyOf(options.signal, signal),
      budget: this.#shared.budget,
      metrics: this.#shared.metrics,
      clock: this.#shared.clock,
      random,
    });
  }

  #open(
    options: SessionOptions,
    { number, fresh, key }: Attempt & { key?: KeyInsert | undefined },
  ): OpenedUnit {
    const { waitUntil } = this.#requireOwner();
    const { signal, label, parsers, onNotice } = this.#request(options);
    const transaction = new Transaction(this.#context(), {
      signal,
      label,
      parsers,
      onNotice,
      settings: withOptions(this.#options.defaults, options),
      attempt: number,
      fresh,
      isKeyed: key !== undefined,
      replica: number === 1 ? options.replica : undefined,
    });
    if (key !== undefined) transaction.flights.prepend(prependedInsert(key));
    return { transaction, session: new Session(transaction, { waitUntil }) };
  }

  /** What the caller has said, and what the owner and the database have. */
  #request(
    { signal, label, parsers, onNotice }: {
      readonly [Name in "signal" | "label" | "parsers" | "onNotice"]?:
        | SessionOptions[Name]
        | undefined;
    },
  ): Pick<TransactionRequest, "signal" | "label" | "parsers" | "onNotice"> {
    const owner = this.#requireOwner();
    const { parsers: shared } = this.#options;
    return {
      signal: anyOf(signal, owner.signal),
      label,
      parsers: parsers === undefined ? shared : { ...shared, ...parsers },
      onNotice: noticeHook(onNotice, owner),
    };
  }

  #context(): TransactionContext {
    return this.#madeContext ??= this.#makeContext();
  }

  #makeContext(): TransactionContext {
    const { pool, endpoint, replicas, defaults, observer, random = Math.random } = this.#options;
    const owner = this.#requireOwner();
    return {
      pool,
      endpoint,
      replicas,
      scope: owner.scope,
      holder: this.#holder,
      clock: this.#shared.clock,
      random,
      metrics: this.#shared.metrics,
      observer: owner.observer ?? observer,
      resolveCommit: this.#options.resolveCommit ?? resolveCommit,
      clusters: this.#shared.clusters,
      defaults,
      deadlines: pool.deadlinesOf(owner.scope),
    };
  }

  #requireOwner(): DatabaseOwner {
    if (this.#owner !== undefined) return this.#owner;
    throw new ScopeError(
      "Cannot open a session as the database has no owner for its sockets; " +
        "use the database that forOwner({ scope, waitUntil }) gives for the request",
    );
  }

  /** Every connection and waiter of the pool, for an operator to read. */
  inspect(): DatabaseView {
    const { pool, replicas } = this.#options;
    return { ...pool.inspect(), replicas: replicas?.inspect() };
  }

  /** How many reads share a connection once the pool needs all of them; 1 if none do. */
  get readDepth(): number {
    return this.#options.pool.readDepth;
  }

  /** Counters and histograms, as they are now. */
  stats(): DatabaseStats {
    const { pool, replicas } = this.#options;
    return {
      ...pool.stats(),
      ...this.#shared.metrics.snapshot(),
      replicas: replicas?.stats(),
      replicaFallbacks: replicas?.fallbacks(),
    };
  }

  /** `stats()` without the histograms and the replicas: cheap enough to be read for each request. */
  totals(): DatabaseTotals {
    return { ...this.#options.pool.totals(), ...this.#shared.metrics.counters };
  }

  /** Closes the connections of a request that ends. Resolves when their sockets are closed: see `Pool.endScope`. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#options.pool.endScope(scope);
  }

  /**
   * Refuses every new lease with `PoolClosedError`, lets open sessions finish for `timeoutMs`, then closes their
   * connections. Resolves when all sockets are closed.
   */
  async close(options: { timeoutMs: number }): Promise<void> {
    const { pool, replicas } = this.#options;
    await Promise.all([pool.close(options), replicas?.close(options)]);
  }
}

/** Aborts when one of the two does. */
function anyOf(
  one: AbortSignal | undefined,
  other: AbortSignal | undefined,
): AbortSignal | undefined {
  return one === undefined || other === undefined ? one ?? other : AbortSignal.any([one, other]);
}

function assertLoadResult(loadResult: unknown): void {
  if (typeof loadResult === "function") return;
  throw new TypeError(
    "Cannot run the transaction as a unit with a key needs `loadResult`: " +
      `current type is ${typeof loadResult}; pass a function that reads what the work would return`,
  );
}
