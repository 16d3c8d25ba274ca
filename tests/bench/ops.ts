/** The cost of observing `GET /users/:id`: the service as it is, against the same app without HTTP metrics, traces, logs and page. */
import { OwnerScope } from "../../src/db/mod.ts";
import { BackgroundTasks } from "../../src/library/deno/background_tasks.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";
import { createApp } from "../../src/http/app.ts";
import { authenticator } from "../http/test_app.ts";
import { start } from "../../src/deno/service.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import type { Env } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { testServer } from "../support/test_server.ts";
import { httpClients } from "./http_load.ts";
import { runPaired } from "./paired.ts";
import { relayThread } from "./relay_thread.ts";
import { newUser } from "./session_contender.ts";
import { type Spread, spreadOf } from "./spread.ts";

export interface OpsFigures {
  readonly requests: number;
  readonly rounds: number;
  readonly ways: readonly OpsWay[];
}

export interface OpsWay {
  readonly name: string;
  readonly requestsPerSecond: number;
  /** Its throughput divided by that of the unwatched app in the same round. */
  readonly ratio: Spread;
}

/** Many short turns, so that other load of the machine meets all contenders equally. */
const REQUESTS = 100;
const AT_ONCE = 8;
const ROUNDS = 300;
const WARM_UP_ROUNDS = 30;

interface Served extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
}

export async function benchOps(): Promise<OpsFigures> {
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  const { id, email, name } = newUser();
  await branch.asAdmin(
    `insert into users (id, email, name) values ('${id}', '${email}', '${name}')`,
  );
  using relay = await relayThread({ port, latencyMs: 0 });
  const env = {
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    DATABASE_POOL_SIZE: `${AT_ONCE}`,
    DATABASE_MAX_OVERFLOW: "0",
    QUEUE_CONCURRENCY: "0",
    PORT: "0",
  };
  await using unwatched = serveUnwatched("unwatched", env);
  await using watched = await serveWatched(env);
  // Any difference from the first is noise.
  await using again = serveUnwatched("unwatched, once more", env);
  using clients = httpClients();
  const ways = [unwatched, watched, again];
  const rounds = await runPaired(
    ways.map(({ url }) => () =>
      clients.ask({ url: `${url}/users/${id}`, requests: REQUESTS, atOnce: AT_ONCE })
    ),
    { warmUpRounds: WARM_UP_ROUNDS, rounds: ROUNDS },
  );
  return {
    requests: REQUESTS,
    rounds: ROUNDS,
    ways: ways.map(({ name }, way) => ({
      name,
      requestsPerSecond: REQUESTS * 1_000 / spreadOf(rounds.map((round) => round[way]!)).median,
      ratio: spreadOf(rounds.map((round) => round[0]! / round[way]!)),
    })),
  };
}

/** The service as `deno task start` runs it. */
async function serveWatched(env: Env): Promise<Served> {
  const service = await start(env, { hostname: "127.0.0.1" });
  return {
    name: "metrics, traces and logs, without a reader",
    url: service.url,
    [Symbol.asyncDispose]: () => service.shutdown(),
  };
}

function serveUnwatched(name: string, env: Env): Served {
  const background = new BackgroundTasks(console.error);
  const db = createDatabase(parseSettings(env).database, {
    owner: { scope: OwnerScope.lasting(), waitUntil: background.waitUntil },
    ...denoSockets,
    // The pool watches for leaks in both apps, so that the cost of that is the same.
    onLeak: () => {},
  });
  const app = createApp({ db, authenticator });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
  return {
    name,
    url: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await background.drain();
      await db.close({ timeoutMs: 1_000 });
    },
  };
}
