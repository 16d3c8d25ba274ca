/** Durable Objects in real workerd: what one serves, how its connections behave under load, and what a call of it costs. */
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { withToken } from "../support/access.ts";
import type { Env } from "../support/branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";
import { distance } from "./distance.ts";
import { startedCpuMs } from "./http/cpu.ts";
import { LoadGenerator } from "./http/load.ts";
import { spreadOf } from "./spread.ts";

export interface ObjectFigures {
  readonly objects: number;
  readonly latencyMs: number;
  readonly operation: Operation;
  readonly clients: number;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** Of workerd's process, which has the Worker and its objects. */
  readonly cpuMs: number;
  /** Answers that are no success. */
  readonly failed: number;
  /** Connections opened while the load ran, after a second of it. */
  readonly logins: number;
  /** Most and fewest connections that were open in that time. */
  readonly connections: readonly [min: number, max: number];
}

export interface HopFigures {
  readonly method: "GET" | "POST";
  /** CPU time of one call with the answer, in microseconds: medians. */
  readonly fetchUs: number;
  readonly rpcUs: number;
}

type Operation = "read" | "create";

const OBJECTS = [1, 2, 4];
const CLIENTS = [16, 100];
const LATENCIES_MS = [0, 20];
const WARM_MS = 1_000;
const DURATION_MS = 4_000;

const CALLS = 3_000;
const ROUNDS = 5;

export async function benchObjects(): Promise<ObjectFigures[]> {
  const database = await localDatabase();
  await using branch = await database.connect();
  await using load = await LoadGenerator.start();
  const figures: ObjectFigures[] = [];
  for (const latencyMs of LATENCIES_MS) {
    for (const objects of OBJECTS) {
      console.error(`measuring: ${objects} objects at ${latencyMs} ms`);
      figures.push(...await measure(load, { objects, latencyMs, settings: branch.env }));
    }
  }
  return figures;
}

/** The connections of a relay, as they come and go. */
class ConnectionCount {
  #open = 0;
  #seen = { logins: 0, min: 0, max: 0 };

  readonly observer = {
    open: () => {
      this.#seen.logins++;
      this.#seen.max = Math.max(this.#seen.max, ++this.#open);
    },
    close: () => {
      this.#seen.min = Math.min(this.#seen.min, --this.#open);
    },
  };

  /** What has happened since the last call. */
  take(): Pick<ObjectFigures, "logins" | "connections"> {
    const { logins, min, max } = this.#seen;
    this.#seen = { logins: 0, min: this.#open, max: this.#open };
    return { logins, connections: [min, max] };
  }
}

async function measure(
  load: LoadGenerator,
  { objects, latencyMs, settings }: Pick<ObjectFigures, "objects" | "latencyMs"> & {
    readonly settings: Env;
  },
): Promise<ObjectFigures[]> {
  const count = new ConnectionCount();
  const server = Number(new URL(settings["DATABASE_URL"]!).port);
  await using relay = await startRelay({
    targets: [{ hostname: "127.0.0.1", port: server }],
    observe: count.observer,
  });
  await using proxy = await distance({ port: relay.port, latencyMs, handshakes: 2 });
  await using workerd = await startWorkerd({
    entry: "src/worker.ts",
    minify: true,
    bindings: {
      ...settings,
      DATABASE_WS_PROXY: relay.url.replace(`:${relay.port}`, `:${proxy.port}`),
      DATABASE_OBJECT_SHARDS: String(objects),
      LOG_LEVEL: "error",
    },
    durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
  });
  const knownIds = [await newUser(workerd.url)];
  const place = { port: Number(workerd.url.port), knownIds };
  const figures: ObjectFigures[] = [];
  for (const operation of ["read", "create"] as const) {
    for (const clients of CLIENTS) {
      const at = { ...place, operation, by: { connections: clients } };
      await load.run({ ...at, durationMs: WARM_MS });
      count.take();
      const before = startedCpuMs("workerd");
      const { goodput, accepted, refused, failed } = await load.run({
        ...at,
        durationMs: DURATION_MS,
      });
      figures.push({
        objects,
        latencyMs,
        operation,
        clients,
        requestsPerSecond: goodput,
        p99Ms: accepted.p99Ms,
        cpuMs: (startedCpuMs("workerd") - before) / (accepted.count + refused.count + failed),
        failed: refused.count + failed,
        ...count.take(),
      });
    }
  }
  return figures;
}

async function newUser(url: URL): Promise<string> {
  const body = JSON.stringify({ email: `${crypto.randomUUID()}@example.org`, name: "Ada" });
  const response = await fetch(
    new URL("/users", url),
    withToken({ method: "POST", headers: { "Content-Type": "application/json" }, body }),
  );
  return (await response.json()).id;
}

/** The same request and answer, by the object's `fetch` and by a method that takes a `Request` and returns a `Response`. */
export async function benchHops(): Promise<HopFigures[]> {
  await using workerd = await startWorkerd({
    entry: "tests/bench/objects_hop_worker.ts",
    durableObjects: { OBJECT: "HopObject" },
  });
  const timesUs = async (method: string, by: string) => {
    const before = startedCpuMs("workerd");
    const response = await fetch(
      new URL(`/?method=${method}&by=${by}&calls=${CALLS}`, workerd.url),
    );
    if (await response.text() !== "done") throw new Error("Cannot measure as a call failed");
    return (startedCpuMs("workerd") - before) / CALLS * 1_000;
  };
  const figures: HopFigures[] = [];
  for (const method of ["GET", "POST"] as const) {
    const [byFetch, byRpc]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      byFetch.push(await timesUs(method, "fetch"));
      byRpc.push(await timesUs(method, "rpc"));
    }
    figures.push({ method, fetchUs: spreadOf(byFetch).median, rpcUs: spreadOf(byRpc).median });
  }
  return figures;
}
