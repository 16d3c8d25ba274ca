import {
  type Clock,
  Database,
  type DatabaseOptions,
  type DatabaseOwner,
  OwnerScope,
  Pool,
  type PoolOptions,
} from "../../src/db/mod.ts";
import type { TransactionSettings } from "../../src/db/session/transaction_settings.ts";
import type { Driver } from "../../src/db/driver/driver.ts";
import { BackgroundTasks } from "../../src/library/deno/background_tasks.ts";

/** The settings' defaults. */
export const SESSION_DEFAULTS: TransactionSettings = {
  isolation: "read committed",
  deferrable: false,
  statementTimeoutMs: 15_000,
  lockTimeoutMs: 5_000,
  idleTransactionTimeoutMs: 4_000,
  transactionTimeoutMs: 30_000,
  locals: {},
};

/** A pool over a driver. Default: two connections and one overflow. */
export function poolOf(driver: Driver, options: Partial<PoolOptions> = {}): Pool {
  return new Pool({
    connect: (connectOptions) => driver.connect(connectOptions),
    size: 2,
    maxOverflow: 1,
    acquireTimeoutMs: 30_000,
    connectTimeoutMs: 15_000,
    recycleMs: Infinity,
    idleTimeoutMs: 60_000,
    maxWaiters: 1_000,
    shedTargetMs: 0,
    ...options,
  });
}

/** Connects by the driver, after so long on the clock. */
export function connectAfter(
  driver: Driver,
  { clock, loginMs }: { clock: Clock; loginMs: number },
): PoolOptions["connect"] {
  return async (options) => {
    await new Promise<void>((resolve) => clock.after(loginMs, resolve));
    return await driver.connect(options);
  };
}

/** A database over the pool. Disposing of it awaits its background work, and closes the pool. */
export function databaseOf(
  pool: Pool,
  { scope = OwnerScope.lasting(), signal, ...options }: Partial<DatabaseOptions & DatabaseOwner> =
    {},
): Database & AsyncDisposable {
  const background = new BackgroundTasks((error) => {
    throw error;
  });
  const { waitUntil = background.waitUntil, ...shared } = options;
  const db = new Database(
    { pool, defaults: SESSION_DEFAULTS, attempts: 4, ...shared },
    { scope, waitUntil, signal },
  );
  return Object.assign(db, {
    async [Symbol.asyncDispose]() {
      await background.drain();
      await db.close({ timeoutMs: 0 });
    },
  });
}
