/**
 * `deno task profile [read|create]`: starts the service, sends it requests, and prints which functions its CPU time goes
 * to. HTTP_SERVER chooses the listener, as for the service. The database server, the relay and the clients run in other threads and processes, and are not in the figures.
 */
import { Session } from "node:inspector/promises";
import { start } from "../../src/deno/service.ts";
import { localDatabase } from "../support/local_database.ts";
import { testServer } from "../support/test_server.ts";
import { httpClients } from "./http_load.ts";
import { relayThread } from "./relay_thread.ts";
import { newUser } from "./session_contender.ts";

const AT_ONCE = 16;
/** Until V8 has compiled the code. */
const WARM_UP_REQUESTS = 60_000;
const REQUESTS = 20_000;
const INTERVAL_US = 200;
const FUNCTIONS = 40;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Which part of the process a function belongs to: the first pattern that its place matches. */
const PARTS: readonly (readonly [part: string, place: RegExp])[] = [
  ["src/db/neon: codec and driver", /src\/db\/neon\//],
  ["src/db: values and statements", /src\/db\/driver\//],
  ["src/db: session, unit of work", /src\/db\/(?:session|\w+\.ts)/],
  ["src/db: pool", /src\/db\/(?:pool|time)\//],
  ["src: HTTP, users, ops, the rest", /\/src\//],
  ["ws", /\/ws\//],
  ["Neon's package", /neondatabase/],
  ["Hono, valibot, uuid, OpenTelemetry", /\/npm\//],
  ["the runtime's Node modules", /ext:deno_node/],
  ["the runtime's other modules", /ext:/],
];

async function main(unit: string): Promise<void> {
  if (unit !== "read" && unit !== "create") {
    console.error("Usage: deno task profile [read|create]");
    Deno.exit(2);
  }
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  const { id, email, name } = newUser();
  await branch.asAdmin(
    `insert into users (id, email, name) values ('${id}', '${email}', '${name}')`,
  );
  using relay = await relayThread({ port, latencyMs: 0 });
  const service = await start({
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    DATABASE_POOL_SIZE: `${AT_ONCE}`,
    DATABASE_MAX_OVERFLOW: "0",
    QUEUE_CONCURRENCY: "0",
    HTTP_SERVER: Deno.env.get("HTTP_SERVER"),
    PORT: "0",
  });
  using clients = httpClients();
  const creates = unit === "create";
  const url = creates ? `${service.url}/users` : `${service.url}/users/${id}`;
  const ask = (requests: number) => clients.ask({ url, requests, atOnce: AT_ONCE, creates });
  await ask(WARM_UP_REQUESTS);
  const inspector = new Session();
  inspector.connect();
  await inspector.post("Profiler.enable");
  await inspector.post("Profiler.setSamplingInterval", { interval: INTERVAL_US });
  await inspector.post("Profiler.start");
  await ask(REQUESTS);
  const { profile } = await inspector.post("Profiler.stop") as unknown as { profile: Profile };
  inspector.disconnect();
  await service.shutdown();
  print(profile);
}

function print({ nodes, samples, timeDeltas }: Profile): void {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const parts = new Map<string, number>();
  let totalUs = 0;
  samples.forEach((id, at) => {
    const { functionName, url, lineNumber } = frames.get(id)!;
    // The profiler's own work.
    if (functionName === "(idle)" || url.endsWith("deno_node/inspector.js")) return;
    const timeUs = timeDeltas[at]!;
    totalUs += timeUs;
    const place = url.replace(/^.*\/(?=src\/|ws\/|hono\/|@)/, "");
    add(functions, `${functionName || "(anonymous)"} ${place}:${lineNumber + 1}`, timeUs);
    const native = functionName.startsWith("(") ? functionName : "native functions and ops";
    add(parts, PARTS.find(([, pattern]) => pattern.test(url))?.[0] ?? native, timeUs);
  });
  console.log(`${(totalUs / REQUESTS).toFixed(0)} us of the service for each request\n`);
  console.log("Share of this, by the part of the process:");
  list(parts, totalUs);
  console.log("\nBy function, without what it calls:");
  list(functions, totalUs, FUNCTIONS);
}

function add(times: Map<string, number>, name: string, timeUs: number): void {
  times.set(name, (times.get(name) ?? 0) + timeUs);
}

function list(times: Map<string, number>, totalUs: number, most = Infinity): void {
  const sorted = [...times].sort(([, one], [, other]) => other - one).slice(0, most);
  for (const [name, timeUs] of sorted) {
    console.log(`${(timeUs / totalUs * 100).toFixed(1).padStart(6)} %  ${name}`);
  }
}

await main(Deno.args[0] ?? "read");
Deno.exit(0);
