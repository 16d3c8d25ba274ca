import {
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  isNeonHost,
  type LeakOptions,
  NeonDriver,
  type NeonDriverOptions,
  Pool,
} from "../db/mod.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig } from "./database_config.ts";
import { assertDatabaseUrl } from "./database_url.ts";

export interface CreateDatabaseOptions
  extends
    Pick<NeonDriverOptions, "webSocketConstructor">,
    Pick<DatabaseOptions, "observer" | "resolveCommit"> {
  /** Without an owner, only the databases that `forOwner` returns open sessions: on Workers each request owns its sockets. */
  readonly owner?: DatabaseOwner | undefined;
  /** Called for each connection that is leased for longer than `leakThresholdMs`. */
  readonly onLeak?: LeakOptions["onLeak"] | undefined;
}

/**
 * Creates a `Database` with a pool of its own. Opens no connection. Throws `TypeError` for a URL that cannot be used, and
 * `RangeError` for a bad size of the pool.
 */
export function createDatabase(
  config: DatabaseConfig,
  { owner, ...runtime }: CreateDatabaseOptions = {},
): Database {
  return new Database(databaseOptions(config, runtime), owner);
}

/** As `createDatabase`, without the database around the pool. */
export function databaseOptions(
  config: DatabaseConfig,
  { webSocketConstructor, onLeak, observer, resolveCommit }: Omit<CreateDatabaseOptions, "owner">,
): DatabaseOptions {
  const { url, wsProxy, parsers } = config;
  assertDatabaseUrl(url);
  const {
    pipelineConnect = isNeonHost(new URL(url).hostname),
    prepare = DATABASE_DEFAULTS.prepare,
    connectTimeoutMs = DATABASE_DEFAULTS.connectTimeoutMs,
    retryAttempts: attempts = DATABASE_DEFAULTS.retryAttempts,
  } = config;
  const driver = new NeonDriver({ url, wsProxy, pipelineConnect, prepare, webSocketConstructor });
  const { leakThresholdMs: thresholdMs, ...poolOptions } = {
    ...DATABASE_DEFAULTS.pool,
    ...config.pool,
  };
  const pool = new Pool({
    ...poolOptions,
    connectTimeoutMs,
    connect: (options) => driver.connect(options),
    leaks: thresholdMs > 0 && onLeak !== undefined ? { thresholdMs, onLeak } : undefined,
  });
  const defaults = { ...DATABASE_DEFAULTS.session, ...config.session };
  return { pool, defaults, attempts, observer, parsers, resolveCommit };
}
