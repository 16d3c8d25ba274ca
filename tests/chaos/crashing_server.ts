/** A PostgreSQL that keeps its data through stops and crashes, fsync on, with a way to it that has no faults. */
import { type Postgres, startPostgres } from "../../src/dev/postgres/server.ts";
import { startRelay } from "../../src/dev/relay/relay.ts";
import { makeScratch } from "../dev/scratch.ts";
import { type Env, runAlone } from "../support/branch.ts";
import { SCHEMA } from "./units.ts";

export interface CrashingServer extends AsyncDisposable {
  readonly port: number;
  /** The service's settings, by way of this relay. */
  envBy(relay: string): Env;
  /** The service's settings, by a way that has no faults. */
  readonly plainEnv: Env;
  /** Runs one statement as a superuser, on a connection of its own. */
  ask<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
  /** `fast` rolls back what is open and says goodbye; `immediate` is a crash. Resolves when it has ended. */
  stop(how: "fast" | "immediate"): Promise<void>;
  start(): Promise<void>;
}

export async function startCrashingServer(): Promise<CrashingServer> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeScratch());
  let postgres: Postgres = await startPostgres({ directory: scratch.path });
  stack.defer(() => postgres.stop({ immediately: true }));
  const { port } = postgres;
  const relay = stack.use(await startRelay({ targets: [{ hostname: "127.0.0.1", port }] }));
  const envBy = (url: string, role: "postgres" | "user_service" = "user_service") => ({
    DATABASE_URL: postgres.url({ role }),
    DATABASE_WS_PROXY: url,
    DATABASE_PIPELINE_CONNECT: "on",
  });
  const server: CrashingServer = {
    port,
    envBy,
    plainEnv: envBy(relay.url),
    ask: (text) => runAlone(envBy(relay.url, "postgres"), text),
    stop: (how) => postgres.stop({ immediately: how === "immediate" }),
    async start() {
      postgres = await startPostgres({ directory: scratch.path });
      if (postgres.port === port) return;
      throw new Error(`Cannot go on as port ${port} was taken while PostgreSQL was stopped`);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  for (const statement of SCHEMA) await server.ask(statement);
  return server;
}
