import {
  Database,
  type DatabaseOptions,
  type DatabaseStats,
  type LeakOptions,
  NeonDriver,
  type NeonDriverOptions,
  type OwnerScope,
  Pool,
  type PoolView,
  RetryBudget,
  UnitMetrics,
} from "../db/mod.ts";
import type { Settings } from "../settings/settings.ts";

type DatabaseSettings = Pick<Settings, "database">;

/** Whose sockets a database opens, and what becomes of its work. */
export type DatabaseOwner = Pick<DatabaseOptions, "scope" | "defer" | "signal" | "settle">;

export interface DatabasesOptions extends Pick<NeonDriverOptions, "webSocketConstructor"> {
  /** Told of connections that are in use for longer than `DATABASE_LEAK_THRESHOLD`. */
  readonly onLeak?: LeakOptions["onLeak"];
  readonly observer?: DatabaseOptions["observer"];
}

/** What the databases of all owners share: one pool, one retry budget, one set of counters. Connects to nothing yet. */
export class Databases {
  readonly #settings: Settings["database"];
  readonly #pool: Pool;
  readonly #budget = new RetryBudget();
  readonly #metrics = new UnitMetrics();
  readonly #observer: DatabaseOptions["observer"];

  constructor(
    { database }: DatabaseSettings,
    { onLeak, observer, ...options }: DatabasesOptions = {},
  ) {
    const driver = new NeonDriver({ ...database, ...options });
    const { leakThresholdMs: thresholdMs } = database.pool;
    this.#settings = database;
    this.#observer = observer;
    this.#pool = new Pool({
      ...database.pool,
      connectTimeoutMs: database.connectTimeoutMs,
      connect: (options) => driver.connect(options),
      leaks: thresholdMs > 0 && onLeak !== undefined ? { thresholdMs, onLeak } : undefined,
    });
  }

  of(owner: DatabaseOwner): Database {
    const { session, retryAttempts } = this.#settings;
    return new Database({
      ...owner,
      pool: this.#pool,
      budget: this.#budget,
      metrics: this.#metrics,
      observer: this.#observer,
      defaults: { ...session, readOnly: false, deferrable: false, locals: {} },
      attempts: retryAttempts,
    });
  }

  /** What the pool tells, and what its databases have done. */
  stats(): DatabaseStats {
    return { ...this.#pool.stats(), ...this.#metrics.snapshot() };
  }

  /** What each connection of the pool is doing, for people to read. */
  inspect(): PoolView {
    return this.#pool.inspect();
  }

  /** Closes the connections of an owner that has ended. Resolves when their sockets are shut. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#pool.endScope(scope);
  }
}

/** Makes the database of the settings where there is one owner of sockets only. Connects to nothing yet. */
export function openDatabase(
  settings: DatabaseSettings,
  { scope, defer, signal, settle, ...options }: DatabaseOwner & DatabasesOptions,
): Database {
  return new Databases(settings, options).of({ scope, defer, signal, settle });
}
