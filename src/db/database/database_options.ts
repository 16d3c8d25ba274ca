/** What a `Database` is made of, what its calls may say, and what it tells of itself. */
import type { TransactionSettings } from "../session/transaction_settings.ts";
import type { Clock } from "../time/clock.ts";
import type { Observer } from "../session/observer.ts";
import type { Pool } from "../pool/pool.ts";
import type { PoolStats, PoolTotals } from "../pool/pool_stats.ts";
import type { PoolView } from "../pool/pool_view.ts";
import type { RetryBudget } from "../time/retry.ts";
import type { OwnerScope } from "../pool/owner_scope.ts";
import type { ReplicaFallbacks } from "../pool/replicas/fallbacks.ts";
import type { Replicas, ReplicaStats } from "../pool/replicas/replicas.ts";
import type { Session } from "../session/session.ts";
import type { SessionOptions } from "../session/session_options.ts";
import type { ResolveCommit } from "../session/commit_outcome.ts";
import type { KnownClusters } from "../session/known_clusters.ts";
import type { Endpoint } from "../driver/driver.ts";
import type { KeyInsert } from "../session/transaction_key.ts";
import type { UnitCounters, UnitMetrics, UnitStats } from "../session/unit_stats.ts";

/** What the databases of all owners in one isolate share. */
export interface DatabaseOptions {
  /** The connections of all owners. */
  readonly pool: Pool;
  /**
   * Runs each transaction that is one `commit([…])` and is read only or has a key by one request, without a connection of
   * the pool.
   */
  readonly endpoint?: Endpoint | undefined;
  /** Answer the reads that let them: `SessionOptions.replica`. Only for owners whose sockets outlive their requests. */
  readonly replicas?: Replicas | undefined;
  /** Settings of every transaction, where the session's own options do not replace them. */
  readonly defaults: TransactionSettings;
  /** Parsers of every session, by type id, where the session's own do not replace them. */
  readonly parsers?: SessionOptions["parsers"] | undefined;
  /** Most attempts for one unit of work, the first included: a whole number from 1. `TransactionOptions.attempts` replaces it. */
  readonly attempts: number;
  /** @internal Limits the retries of all units of work together. By default the database makes one of its own. */
  readonly budget?: RetryBudget;
  /** @internal Counters that several databases may share. By default the database makes its own. */
  readonly metrics?: UnitMetrics;
  /** @internal The clusters of the servers that have answered. By default the database makes its own. */
  readonly clusters?: KnownClusters;
  /** Receives every transaction and flight, for traces. */
  readonly observer?: Observer | undefined;
  /** The time, for tests. */
  readonly clock?: Clock | undefined;
  /** For the waits between attempts: at least 0 and below 1. `Math.random` by default. */
  readonly random?: (() => number) | undefined;
  /** @internal Finds the outcome of a COMMIT whose answer was lost. The default asks the server; tests replace it. */
  readonly resolveCommit?: ResolveCommit | undefined;
}

/** The owner of a database's sockets: a process, a Durable Object, or one request on Workers. */
export interface DatabaseOwner {
  /** The pool keeps the connections of different scopes apart. */
  readonly scope: OwnerScope;
  /**
   * Keeps the owner alive until the promise settles, and handles its rejection. The caller of the session does not wait
   * for it. On Workers this is the runtime's `waitUntil`; on Deno, the process's list of background tasks.
   */
  readonly waitUntil: (rest: Promise<void>) => void;
  /** Aborts all sessions of this owner, such as the signal of the request. Each session's own signal works as well. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the transactions of this owner, in place of `DatabaseOptions.observer`. */
  readonly observer?: Observer | undefined;
}

/** How to run one unit of work with retry. */
export interface TransactionOptions extends SessionOptions {
  /** Most attempts, the first included: a whole number from 1. `DatabaseOptions.attempts` by default. */
  readonly attempts?: number | undefined;
  /** No attempt but the first begins later than this after the call. A running attempt is not stopped: use `signal` for that. */
  readonly timeoutMs?: number | undefined;
}

/** How to run one statement outside a transaction. */
export interface RunOptions
  extends Pick<SessionOptions, "signal" | "label" | "parsers" | "onNotice"> {
  /**
   * Longest wait for the answer; 0 for no limit. Afterwards a cancel request stops the statement, as an abort of
   * `signal` does. `DatabaseOptions.defaults.statementTimeoutMs` by default: VACUUM and CREATE INDEX need longer.
   */
  readonly timeoutMs?: number | undefined;
}

/** How to lease a connection by `Database.connect`. */
export interface ConnectOptions
  extends Pick<SessionOptions, "signal" | "label" | "parsers" | "onNotice"> {
  /** Called if the connection ends by itself before it is given back. Must not throw. */
  readonly onClosed?: ((error: Error) => void) | undefined;
}

/** How to run one unit of work at most once for a key. */
export interface KeyedTransactionOptions<T> extends TransactionOptions {
  /**
   * The idempotency key, from 1 to 255 characters. At most one unit with this key commits, until `deleteOldKeys`
   * deletes the key. The table of `TRANSACTION_KEYS_TABLE` must exist. A `KeyInsert` is a key in another table.
   */
  readonly key: string | KeyInsert;
  /**
   * Runs in place of `work`, in a read-only session, if the unit turns out to be committed: gives what `work` would
   * give.
   */
  readonly loadResult: (session: Session) => Promise<T>;
}

/** The pool's counts and those of all databases that share `metrics`, without histograms. */
export interface DatabaseTotals extends PoolTotals, Readonly<UnitCounters> {}

/** The pool's counts, and those of all databases that share `metrics`. */
export interface DatabaseStats extends PoolStats, UnitStats {
  /** Of each replica: the counts of its pool and of the reads that went to it, and how far it is. */
  readonly replicas?: readonly ReplicaStats[] | undefined;
  /** The reads that the primary has answered in place of a replica. */
  readonly replicaFallbacks?: Readonly<ReplicaFallbacks> | undefined;
}

/** The pool at one moment. */
export interface DatabaseView extends PoolView {
  /** The pools of the replicas. */
  readonly replicas?: readonly PoolView[] | undefined;
}
