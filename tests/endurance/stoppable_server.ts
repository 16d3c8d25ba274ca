/** A PostgreSQL that keeps its data through stops and crashes, with fsync on, and a relay to it without faults. */
import { type Postgres, startPostgres } from "../../src/dev/postgres.ts";
import { type RelayTarget, startRelay } from "../../src/library/testing/relay/relay.ts";
import { makeScratch } from "../dev/scratch.ts";
import { type Env, runAlone } from "../support/branch.ts";

export interface StoppableServer extends AsyncDisposable {
  readonly target: RelayTarget;
  /** The service's settings, for the relay of this URL. */
  envBy(relayUrl: string): Env;
  /** The service's settings, for the relay without faults. */
  readonly plainEnv: Env;
  /** Runs one statement as a superuser, on a connection of its own. */
  query<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
  /** `fast` rolls back open transactions and ends connections in order; `immediate` is a crash. Resolves at its end. */
  stop(how: "fast" | "immediate"): Promise<void>;
  start(): Promise<void>;
}

export async function startStoppableServer(): Promise<StoppableServer> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeScratch());
  let postgres: Postgres = await startPostgres({ directory: scratch.path });
  stack.defer(() => postgres.stop({ immediately: true }));
  const target = { hostname: "127.0.0.1", port: postgres.port };
  const relay = stack.use(await startRelay({ targets: [target] }));
  const envBy = (relayUrl: string, role: "postgres" | "user_service" = "user_service") => ({
    DATABASE_URL: postgres.url({ role }),
    DATABASE_WS_PROXY: relayUrl,
    DATABASE_PIPELINE_CONNECT: "on",
  });
  return {
    target,
    envBy,
    plainEnv: envBy(relay.url),
    query: (text) => runAlone(envBy(relay.url, "postgres"), text),
    stop: (how) => postgres.stop({ immediately: how === "immediate" }),
    async start() {
      postgres = await startPostgres({ directory: scratch.path });
      if (postgres.port === target.port) return;
      throw new Error(
        `Cannot go on as another program took the port while PostgreSQL was stopped: ${target.port}`,
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
