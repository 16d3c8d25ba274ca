/** What the demonstration runs on: a PostgreSQL of its own, a relay, and a connection that observes the server. */
import { type Database, OwnerScope } from "../../db/mod.ts";
import { BackgroundTasks } from "../../library/deno/background_tasks.ts";
import { denoSockets } from "../../library/deno/sockets.ts";
import { createDatabase } from "../../library/create_database.ts";
import { parseSettings } from "../../settings/settings.ts";
import { migrate } from "../migrate.ts";
import { startStack } from "../stack.ts";
import { type Faults, faultyWebSockets } from "./faulty_websocket.ts";
import { ServerView } from "./server_view.ts";

export type Env = Readonly<Record<string, string | undefined>>;

export interface DemoEnvironment extends AsyncDisposable {
  /** The environment variables with which the service reaches the database. */
  readonly env: Env;
  readonly server: ServerView;
  readonly faults: Faults;
  /** Opens a pool as the service does. `settings` replace the service's defaults. */
  open(settings?: Env): Database;
}

/** Starts PostgreSQL and the relay, and makes the tables. Disposal, or the end of this process, ends all of it. */
export async function startDemoEnvironment(): Promise<DemoEnvironment> {
  await using starting = new AsyncDisposableStack();
  const { env, ownerEnv, postgres } = starting.use(await startStack({}, { ephemeral: true }));
  await migrate(ownerEnv);
  const adminUrl = postgres!.url({ role: "postgres" });
  const server = starting.use(await ServerView.open({ ...env, DATABASE_URL: adminUrl }));
  await server.query("create table accounts (name text primary key, balance integer not null)");
  await server.query("grant select, insert, update on accounts to user_service");
  const background = new BackgroundTasks((error) => {
    throw error;
  });
  const faults = faultyWebSockets();
  const opened: Database[] = [];
  starting.defer(async () => {
    await Promise.all(opened.map((db) => db.close({ timeoutMs: 0 })));
    await background.drain();
  });
  const parts = starting.move();
  return {
    env,
    server,
    faults,
    open(settings = {}) {
      const db = createDatabase(parseSettings({ ...env, ...settings }).database, {
        owner: { scope: OwnerScope.lasting(), waitUntil: background.waitUntil },
        ...denoSockets,
        webSocketConstructor: faults.webSocketConstructor,
      });
      opened.push(db);
      return db;
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
