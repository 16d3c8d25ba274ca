import {
  Database,
  type Leak,
  NeonDriver,
  type NeonDriverOptions,
  type OwnerScope,
  Pool,
} from "./db/mod.ts";
import type { Settings } from "./settings.ts";

/** Makes the database of the settings, for one owner of sockets. Connects to nothing yet. */
export function openDatabase(
  { database }: Pick<Settings, "database">,
  { scope, defer, onLeak, webSocketConstructor }:
    & {
      scope: OwnerScope;
      defer: (rest: Promise<void>) => void;
      onLeak?: (leak: Leak) => void;
    }
    & Pick<NeonDriverOptions, "webSocketConstructor">,
): Database {
  const { leakThresholdMs: thresholdMs } = database.pool;
  const driver = new NeonDriver({ ...database, webSocketConstructor });
  const pool = new Pool({
    ...database.pool,
    connectTimeoutMs: database.connectTimeoutMs,
    connect: (options) => driver.connect(options),
    leaks: thresholdMs > 0 && onLeak !== undefined ? { thresholdMs, onLeak } : undefined,
  });
  return new Database({
    pool,
    scope,
    defer,
    defaults: { ...database.session, readOnly: false, deferrable: false, locals: {} },
    attempts: database.retryAttempts,
  });
}
