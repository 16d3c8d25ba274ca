import {
  Database,
  type DatabaseOptions,
  NeonDriver,
  type NeonDriverOptions,
  type OwnerScope,
  Pool,
  RetryBudget,
} from "./db/mod.ts";
import type { Settings } from "./settings.ts";

type DatabaseSettings = Pick<Settings, "database">;

/** Whose sockets a database opens, and what becomes of its work. */
export type DatabaseOwner = Pick<DatabaseOptions, "scope" | "defer" | "signal">;

/** What the databases of all owners share: one pool, one retry budget. Connects to nothing yet. */
export class Databases {
  readonly #settings: Settings["database"];
  readonly #pool: Pool;
  readonly #budget = new RetryBudget();

  constructor(
    { database }: DatabaseSettings,
    options: Pick<NeonDriverOptions, "webSocketConstructor"> = {},
  ) {
    const driver = new NeonDriver({ ...database, ...options });
    this.#settings = database;
    this.#pool = new Pool({
      ...database.pool,
      connectTimeoutMs: database.connectTimeoutMs,
      connect: (options) => driver.connect(options),
    });
  }

  of(owner: DatabaseOwner): Database {
    const { session, retryAttempts } = this.#settings;
    return new Database({
      ...owner,
      pool: this.#pool,
      budget: this.#budget,
      defaults: { ...session, readOnly: false, deferrable: false, locals: {} },
      attempts: retryAttempts,
    });
  }

  /** Closes the connections of an owner that has ended. Resolves when their sockets are shut. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#pool.endScope(scope);
  }
}

/** Makes the database of the settings where there is one owner of sockets only. Connects to nothing yet. */
export function openDatabase(
  settings: DatabaseSettings,
  { webSocketConstructor, ...owner }:
    & DatabaseOwner
    & Pick<NeonDriverOptions, "webSocketConstructor">,
): Database {
  return new Databases(settings, { webSocketConstructor }).of(owner);
}
