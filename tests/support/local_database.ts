/**
 * A database for one test file, on the local server: a copy of the migrated template, made in some 30 ms. For tests
 * that need what only this server has: other logins, and a relay that reports the messages.
 */
import type { RelayObserver } from "../../src/library/testing/relay/relay.ts";
import { createDatabaseFrom, newName } from "../../src/library/testing/branch_database.ts";
import { type Branch, branchOf, type Env } from "./branch.ts";
import { relayTo, type Role, testServer } from "./test_server.ts";

export interface LocalBranch extends Branch {
  /** The same as `env`, for another role. */
  envOf(role: Role): Env;
}

export interface LocalDatabase {
  /** Gives access to it, through a new relay. */
  connect(options?: { observe?: RelayObserver }): Promise<LocalBranch>;
  /** Gives access to it over TCP, without a relay. */
  connectDirectly(): Promise<LocalBranch>;
}

/** Creates the database. Call it once in each test file. */
export async function localDatabase(): Promise<LocalDatabase> {
  const server = await testServer();
  const name = newName();
  const envOf = (role: Role, { relay, database = name }: { relay: string; database?: string }) => {
    const url = new URL(server.urls[role]);
    url.pathname = `/${database}`;
    return {
      DATABASE_URL: url.href,
      DATABASE_WS_PROXY: relay,
      DATABASE_PIPELINE_CONNECT: role === "user_service_scram" ? "off" : "on",
    };
  };
  {
    await using relay = await relayTo(server);
    const template = new URL(server.urls.postgres).pathname.slice(1);
    const { DATABASE_URL: url } = envOf("postgres", { relay: relay.url, database: "postgres" });
    const admin = { url, wsProxy: relay.url, pipelineConnect: true };
    await createDatabaseFrom(admin, { name, template, owner: "user_service_owner" });
  }
  return {
    connectDirectly() {
      const env = (role: Role): Env => {
        const { DATABASE_WS_PROXY: _, ...direct } = envOf(role, { relay: "" });
        return direct;
      };
      const branch = branchOf({ env: env("user_service"), adminEnv: env("postgres") });
      return Promise.resolve({ ...branch, envOf: env });
    },
    async connect({ observe } = {}) {
      const relay = await relayTo(server, observe === undefined ? {} : { observe });
      const env = (role: Role) => envOf(role, { relay: relay.url });
      const branch = branchOf({ env: env("user_service"), adminEnv: env("postgres") });
      return {
        ...branch,
        envOf: env,
        async [Symbol.asyncDispose]() {
          await branch[Symbol.asyncDispose]();
          await relay.close();
        },
      };
    },
  };
}
