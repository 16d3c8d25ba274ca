/**
 * A database of its own for each test file. Locally that is a copy of the migrated one, made by the server in some
 * 30 ms; on Neon, when NEON_API_KEY and NEON_PROJECT_ID are set, a branch that expires by itself.
 */
import { type Database, NeonDriver } from "../../src/db/mod.ts";
import { Deferred } from "../../src/deferred.ts";
import { OwnerScope } from "../../src/db/mod.ts";
import { openDatabase } from "../../src/open_database.ts";
import { parseSettings } from "../../src/settings.ts";
import type { RelayObserver } from "../../src/dev/relay.ts";
import { relayTo, type Role, testServer } from "./test_server.ts";

export type Env = Readonly<Record<string, string>>;

/** A way to the branch database that lasts as long as one test. */
export interface Branch extends AsyncDisposable {
  /** What the service needs to use it. */
  readonly env: Env;
  /** The same for another login. */
  envOf(role: Role): Env;
  /** Opens a database on it, which is closed with the branch; `env` adds settings. */
  open(env?: Env): Database;
  /** Runs one statement as the server's superuser, outside any transaction and any pool of the test. */
  asSuperuser<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
}

export interface BranchDatabase {
  /** Opens a way to it, through a relay of its own. */
  connect(options?: { observe?: RelayObserver }): Promise<Branch>;
}

/** Makes a branch database. To be called once for each test file. */
export async function branchDatabase(): Promise<BranchDatabase> {
  const server = await testServer();
  const name = `branch_${crypto.randomUUID().replaceAll("-", "")}`;
  const urlOf = (role: Role, database = name) => {
    const url = new URL(server.urls[role]);
    url.pathname = `/${database}`;
    return url.href;
  };
  const asSuperuser = async <Row>(
    text: string,
    { wsProxy, database }: { wsProxy: string; database?: string },
  ): Promise<Row[]> => {
    const driver = new NeonDriver({
      url: urlOf("postgres", database),
      wsProxy,
      pipelineConnect: true,
      applicationName: "test",
    });
    const connection = await driver.connect({ timeoutMs: 10_000 });
    try {
      const { results, error } = await connection.flight([{ text, values: [] }]);
      if (error !== undefined) throw error;
      return (results[0]?.rows ?? []) as Row[];
    } finally {
      await connection.close({ timeoutMs: 10_000 });
    }
  };
  {
    await using relay = await relayTo(server);
    const template = new URL(server.urls.postgres).pathname.slice(1);
    await asSuperuser(
      `create database ${name} template ${template} owner user_service_owner`,
      { wsProxy: relay.url, database: "postgres" },
    );
  }
  return {
    async connect({ observe } = {}) {
      const relay = await relayTo(server, observe === undefined ? {} : { observe });
      const opened: Database[] = [];
      const deferred = new Deferred((error) => {
        throw error;
      });
      const envOf = (role: Role): Env => ({
        DATABASE_URL: urlOf(role),
        DATABASE_WS_PROXY: relay.url,
        DATABASE_PIPELINE_CONNECT: role === "user_service_scram" ? "off" : "on",
      });
      const env = envOf("user_service");
      return {
        env,
        envOf,
        open(more = {}) {
          const settings = parseSettings({ ...env, ...more });
          const db = openDatabase(settings, { scope: OwnerScope.lasting(), defer: deferred.add });
          opened.push(db);
          return db;
        },
        asSuperuser: (text) => asSuperuser(text, { wsProxy: relay.url }),
        async [Symbol.asyncDispose]() {
          await deferred.drain();
          await Promise.all(opened.map((db) => db.close({ timeoutMs: 5_000 })));
          await relay.close();
        },
      };
    },
  };
}
