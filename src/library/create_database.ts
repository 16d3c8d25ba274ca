import {
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  type LeakOptions,
  Pool,
  type TransactionSettings,
} from "../db/mod.ts";
import { assertConfig } from "./assert_config.ts";
import { createDriver, type DriverSockets } from "./create_driver.ts";
import { sqlEndpoint } from "./sql_endpoint.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig, type PoolConfig } from "./database_config.ts";

export interface CreateDatabaseOptions
  extends DriverSockets, Pick<DatabaseOptions, "observer" | "resolveCommit"> {
  /** Without an owner, only the databases that `forOwner` returns open sessions: on Workers each request owns its sockets. */
  readonly owner?: DatabaseOwner | undefined;
  /** Whether each owner of the database opens its own connections, as a Worker's request does. */
  readonly opensPerRequest?: boolean;
  /** Called for each connection that is leased for longer than `leakThresholdMs`. */
  readonly onLeak?: LeakOptions["onLeak"] | undefined;
}

/**
 * Creates a `Database` with a pool of its own. Opens no connection. Throws `TypeError` for an option that cannot be used,
 * and `RangeError` for a number that is not in its range.
 */
export function createDatabase(
  config: DatabaseConfig,
  { owner, ...runtime }: CreateDatabaseOptions,
): Database {
  return new Database(databaseOptions(config, runtime), owner);
}

/** As `createDatabase`, without the database around the pool. */
export function databaseOptions(
  config: DatabaseConfig,
  { observer, resolveCommit, ...runtime }: Omit<CreateDatabaseOptions, "owner">,
): DatabaseOptions {
  assertConfig(config);
  const { parsers, retryAttempts: attempts = DATABASE_DEFAULTS.retryAttempts } = config;
  const defaults = withDefaults<TransactionSettings>(DATABASE_DEFAULTS.session, config.session);
  return { ...createServer(config, runtime), defaults, attempts, observer, parsers, resolveCommit };
}

/** The pool of one server, and its endpoint, by a config that `assertConfig` has passed. Throws as `createDatabase` does. */
export function createServer(
  config: DatabaseConfig,
  { onLeak, opensPerRequest = false, ...sockets }: Omit<
    CreateDatabaseOptions,
    "owner" | "observer" | "resolveCommit"
  >,
): Pick<DatabaseOptions, "pool" | "endpoint"> {
  const { connectTimeoutMs = DATABASE_DEFAULTS.connectTimeoutMs } = config;
  const driver = createDriver(config, sockets);
  const { leakThresholdMs: thresholdMs, ...poolOptions } = withDefaults<PoolConfig>(
    DATABASE_DEFAULTS.pool,
    config.pool,
  );
  const pool = new Pool({
    ...poolOptions,
    connectTimeoutMs,
    connect: (options) => driver.connect(options),
    leaks: thresholdMs > 0 && onLeak !== undefined ? { thresholdMs, onLeak } : undefined,
  });
  return { pool, endpoint: sqlEndpoint(config, { opensPerRequest }) };
}

/** A field that is `undefined`, or `null`, has its default: an application may read it from where it is optional. */
function withDefaults<T extends object>(
  defaults: T,
  given: { readonly [Name in keyof T]?: T[Name] | undefined } | null = {},
): T {
  const fields = Object.entries(given ?? {}).filter(([, value]) =>
    value !== undefined && value !== null
  );
  return { ...defaults, ...Object.fromEntries(fields) };
}
