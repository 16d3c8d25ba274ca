import {
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  type LeakOptions,
  NeonDriver,
  type NeonDriverOptions,
  Pool,
} from "../db/mod.ts";
import type { Settings } from "../settings/settings.ts";

export interface OpenDatabaseOptions
  extends
    Pick<NeonDriverOptions, "webSocketConstructor">,
    Pick<DatabaseOptions, "observer" | "parsers" | "resolveCommit"> {
  /** Without an owner, only the databases that `forOwner` returns open sessions: on Workers each request owns its sockets. */
  readonly owner?: DatabaseOwner;
  /** Called for each connection that is leased for longer than `DATABASE_LEAK_THRESHOLD`. */
  readonly onLeak?: LeakOptions["onLeak"];
}

/** Creates a `Database` with a pool of its own from the settings. Opens no connection. */
export function openDatabase(
  { database }: Pick<Settings, "database">,
  { owner, webSocketConstructor, onLeak, observer, parsers, resolveCommit }: OpenDatabaseOptions =
    {},
): Database {
  const driver = new NeonDriver({ ...database, webSocketConstructor });
  const { leakThresholdMs: thresholdMs } = database.pool;
  const pool = new Pool({
    ...database.pool,
    connectTimeoutMs: database.connectTimeoutMs,
    connect: (options) => driver.connect(options),
    leaks: thresholdMs > 0 && onLeak !== undefined ? { thresholdMs, onLeak } : undefined,
  });
  const defaults = { ...database.session, readOnly: false, deferrable: false, locals: {} };
  return new Database(
    { pool, defaults, attempts: database.retryAttempts, observer, parsers, resolveCommit },
    owner,
  );
}
