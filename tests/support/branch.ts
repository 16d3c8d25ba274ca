/** Access to a test's database for the time of one test. */
import { type Database, type DatabaseOptions, OwnerScope } from "../../src/db/mod.ts";
import type { ResolveCommit } from "../../src/db/session/commit_outcome.ts";
import { BackgroundTasks } from "../../src/library/deno/background_tasks.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { createDriver } from "../../src/library/create_driver.ts";
import { ACCESS } from "./access.ts";
import { parseSettings } from "../../src/settings/settings.ts";

export type Env = Readonly<Record<string, string>>;

export interface Branch extends AsyncDisposable {
  /** The service's settings for this database, and the tokens of `access.ts`. */
  readonly env: Env;
  /** Opens a pool, which the branch closes when it is disposed of. `env` adds settings; `resolveCommit` replaces the production function. */
  open(
    env?: Env,
    resolveCommit?: ResolveCommit,
    options?: Pick<DatabaseOptions, "parsers">,
  ): Database;
  /** Runs one statement as the administrator, on a connection of its own, outside any transaction. */
  asAdmin<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
}

/** `env` are the settings of the service, `adminEnv` those of the administrator. */
export function branchOf({ env: given, adminEnv }: { env: Env; adminEnv: Env }): Branch {
  const env = { ...ACCESS, ...given };
  const opened: Database[] = [];
  const background = new BackgroundTasks((error) => {
    throw error;
  });
  return {
    env,
    open(more = {}, resolveCommit, options = {}) {
      const settings = parseSettings({ ...env, ...more });
      const db = createDatabase({ ...settings.database, ...options }, {
        owner: { scope: OwnerScope.lasting(), waitUntil: background.waitUntil },
        ...denoSockets,
        resolveCommit,
      });
      opened.push(db);
      return db;
    },
    asAdmin: (text) => runAlone(adminEnv, text),
    async [Symbol.asyncDispose]() {
      await background.drain();
      await Promise.all(opened.map((db) => db.close({ timeoutMs: 5_000 })));
    },
  };
}

/** Runs one statement on a connection of its own. */
export async function runAlone<Row>(env: Env, text: string): Promise<Row[]> {
  const { database } = parseSettings(env);
  const driver = createDriver(database, denoSockets, { applicationName: "test" });
  const connection = await driver.connect({ timeoutMs: 10_000 });
  try {
    const { results, error } = await connection.flight([{ text, values: [] }]);
    if (error !== undefined) throw error;
    return (results[0]?.rows ?? []) as Row[];
  } finally {
    await connection.close({ timeoutMs: 10_000 });
  }
}
