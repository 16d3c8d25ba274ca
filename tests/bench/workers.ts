/** A Worker's ways to its database, in real workerd: how long a request takes from afar, and what it costs. */
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { withToken } from "../support/access.ts";
import type { Env } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";
import { distance } from "./distance.ts";
import { startedCpuMs } from "./http/cpu.ts";
import { spreadOf } from "./spread.ts";

export interface WorkerFigures {
  readonly name: string;
  readonly operation: "read" | "create";
  /** The median, one request at a time, at `LATENCY_MS` in each direction. */
  readonly p50Ms: number;
  /** Of workerd's process, at no distance, `CLIENTS` at a time. */
  readonly cpuMs: number;
  readonly requestsPerSecond: number;
}

const LATENCY_MS = 20;
const CLIENTS = 16;
const SEQUENTIAL = 30;
const CONCURRENT = 1_500;

interface Way {
  readonly name: string;
  readonly entry?: string;
  readonly env?: Env;
}

const WAYS: readonly Way[] = [
  { name: "by hand: a Client for each request", entry: "tests/bench/workers_by_hand.ts" },
  { name: "WebSocket for each request", env: { DATABASE_HTTP: "off" } },
  { name: "TCP for each request", env: { DATABASE_TRANSPORT: "tcp" } },
  { name: "reads by HTTP", env: { DATABASE_HTTP: "on" } },
  { name: "two Durable Objects", env: { DATABASE_OBJECT_SHARDS: "2" } },
];

export async function benchWorkers(): Promise<WorkerFigures[]> {
  const database = await localDatabase();
  await using branch = await database.connect();
  const figures: WorkerFigures[] = [];
  for (const way of WAYS) {
    console.error(`measuring: ${way.name}`);
    for (const operation of ["read", "create"] as const) {
      const place = { way, operation, settings: branch.env };
      const p50Ms = await measureAt({ ...place, latencyMs: LATENCY_MS }, medianMs);
      const load = await measureAt({ ...place, latencyMs: 0 }, loadFigures);
      figures.push({ name: way.name, operation, p50Ms, ...load });
    }
  }
  return figures;
}

interface Place {
  readonly way: Way;
  readonly operation: WorkerFigures["operation"];
  readonly settings: Env;
  readonly latencyMs: number;
}

type SendOne = () => Promise<void>;

/** Starts a Worker at that distance from its database, and measures requests of one operation. */
async function measureAt<Figures>(
  { way: { entry = "src/worker.ts", env = {} }, operation, settings, latencyMs }: Place,
  measure: (send: SendOne) => Promise<Figures>,
): Promise<Figures> {
  const databaseUrl = new URL(settings["DATABASE_URL"]!);
  const server = Number(databaseUrl.port);
  // The relay stands beside the server, as Neon's proxy does, and speaks TLS there.
  await using tcp = await distance({ port: server, latencyMs, handshakes: 2 });
  await using relay = await startRelay({ targets: [{ hostname: "127.0.0.1", port: server }] });
  await using proxy = await distance({ port: relay.port, latencyMs, handshakes: 2 });
  if (env["DATABASE_TRANSPORT"] === "tcp") databaseUrl.port = String(tcp.port);
  await using workerd = await startWorkerd({
    entry,
    minify: true,
    bindings: {
      ...settings,
      DATABASE_URL: databaseUrl.href,
      DATABASE_WS_PROXY: relay.url.replace(`:${relay.port}`, `:${proxy.port}`),
      LOG_LEVEL: "error",
      ...env,
    },
    durableObjects: entry === "src/worker.ts" ? { DATABASE_OBJECT: "DatabaseObject" } : {},
  });
  return await measure(await serviceAt(workerd.url)[operation]());
}

async function medianMs(send: SendOne): Promise<number> {
  await send();
  const times: number[] = [];
  for (let count = 0; count < SEQUENTIAL; count++) {
    const startedAt = performance.now();
    await send();
    times.push(performance.now() - startedAt);
  }
  return spreadOf(times).median;
}

async function loadFigures(
  send: SendOne,
): Promise<Pick<WorkerFigures, "cpuMs" | "requestsPerSecond">> {
  await Promise.all(Array.from({ length: CLIENTS }, send));
  const [before, startedAt] = [startedCpuMs("workerd"), performance.now()];
  let left = CONCURRENT;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (left-- > 0) await send();
  }));
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    cpuMs: (startedCpuMs("workerd") - before) / CONCURRENT,
    requestsPerSecond: CONCURRENT / seconds,
  };
}

interface Service {
  read(): Promise<SendOne>;
  create(): Promise<SendOne>;
}

function serviceAt(url: URL): Service {
  const send = async (path: string, init: RequestInit, status: number) => {
    const response = await fetch(new URL(path, url), withToken(init));
    const text = await response.text();
    if (response.status !== status) throw new Error(`Cannot measure: ${response.status} ${text}`);
    return JSON.parse(text) as { id: string };
  };
  const create = () =>
    send("/users", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: `${crypto.randomUUID()}@example.org`, name: "Ada" }),
    }, 201);
  return {
    create: () => Promise.resolve(async () => void await create()),
    async read() {
      const { id } = await create();
      return async () => void await send(`/users/${id}`, {}, 200);
    },
  };
}
