/**
 * Many clients at a Worker in real workerd, by each way to its database: no request may fail, nothing may stay behind a
 * request, and connections and memory must stay as they are.
 */
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import type { Env } from "../../support/branch.ts";
import { localDatabase } from "../../support/local_database.ts";
import {
  startWorkerHost,
  type WorkerHost,
  type WorkerHostOptions,
} from "../../support/worker_host.ts";
import { seededRandom } from "../random.ts";
import type { Scenario } from "../scenario.ts";
import { atLeast, atMost, type Measure, zero } from "../verdict.ts";
import { BackendWatch } from "./backend_watch.ts";
import { Clients } from "./clients.ts";
import type { Deferred } from "./counting_worker.ts";

export interface WorkersOptions {
  readonly ways: readonly Way[];
  readonly clients: number;
  /** Of one way. */
  readonly seconds: number;
  readonly seed: number;
}

const POOL = { DATABASE_POOL_SIZE: "10", DATABASE_MAX_OVERFLOW: "10" };
const PERMITS = 20;
const SHARDS = 2;
/** Those of the endpoint by HTTP, as of Neon's own: see the relay's `sql_endpoint.ts`. */
const ENDPOINT_CONNECTIONS = 100;

const ENV: Env = {
  ...POOL,
  // So many clients for so few connections always queue, on a slow machine for long.
  DATABASE_POOL_SHED_TARGET: "0",
};

interface Mode extends Pick<WorkerHostOptions, "hasHyperdrive" | "transport"> {
  readonly env?: Env;
  /** The most connections to the server at once. */
  readonly bound: number;
}

export const WAYS = ["websocket", "http", "tcp", "hyperdrive", "objects"] as const;
export type Way = typeof WAYS[number];

const MODES: Readonly<Record<Way, Mode>> = {
  "websocket": { bound: PERMITS },
  "http": { bound: PERMITS + ENDPOINT_CONNECTIONS, env: { DATABASE_HTTP: "on" } },
  "tcp": { bound: PERMITS, transport: "tcp" },
  "hyperdrive": { bound: PERMITS, hasHyperdrive: true },
  "objects": {
    bound: SHARDS * PERMITS,
    env: { DATABASE_OBJECT_SHARDS: `${SHARDS}`, DATABASE_POOL_IDLE_TIMEOUT: "0.5" },
  },
};

/** The heap after a garbage collection, from the end of the warm-up to the end of the run. */
const HEAP_GROWTH_MIB = 2;

const SETTLE_TIMEOUT_MS = 10_000;

export const workersScenario: Scenario<WorkersOptions> = {
  flags: ["minutes", "seed", "host"],
  options: (flags) => {
    const way = flags.oneOf("host", WAYS);
    return {
      ways: way === undefined ? WAYS : [way],
      clients: 100,
      seconds: 60 * flags.positive("minutes", { otherwise: 1, max: 600 }),
      seed: flags.seed(),
    };
  },
  async run({ ways, ...options }, onProgress) {
    const measures: Measure[] = [["seed", options.seed]];
    for (const way of ways) {
      measures.push(...await load(way, options));
      onProgress(`${way} is done`);
    }
    return measures;
  },
};

async function load(
  way: Way,
  { clients: count, seconds, seed }: Omit<WorkersOptions, "ways">,
): Promise<Measure[]> {
  const { bound, env = {}, ...mode } = MODES[way];
  const host = await startWorkerHost(await localDatabase(), {
    ...mode,
    name: way,
    entry: "tests/endurance/workers/counting_worker.ts",
    env: { ...ENV, ...env },
    inspects: true,
  });
  try {
    await using watch = new BackendWatch(host);
    const warmUp = new Clients(host.request, seededRandom(seed + 1));
    await warmUp.run({ clients: count, seconds: seconds / 4 });
    await settle(host);
    const heapBefore = await host.workerd.heapMiB();
    const clients = new Clients(host.request, seededRandom(seed));
    const startedMs = performance.now();
    await clients.run({ clients: count, seconds });
    const tookMs = performance.now() - startedMs;
    const pending = await settle(host);
    const { answers: { read, created, updated }, latencies } = clients;
    const { connections, openConnections } = host.branch.relay;
    const measures: Measure[] = [
      ["requests a second", latencies.count / tookMs * 1_000],
      ["p50, ms", latencies.p50],
      ["p99, ms", latencies.p99],
      ["reads", read, atLeast(1)],
      ["creates", created, atLeast(1)],
      ["updates", updated, atLeast(1)],
      ["failed requests", warmUp.failed + clients.failed, zero],
      ["promises of waitUntil that have not settled", pending, zero],
      ["warnings and uncaught errors of workerd", host.workerd.takeUncaught().length, zero],
      ["most connections to the server at once", watch.most, atMost(bound)],
      ["connections opened", connections.length],
      ["connections left", openConnections.length, zero],
      ["heap growth, MiB", await host.workerd.heapMiB() - heapBefore, atMost(HEAP_GROWTH_MIB)],
      ...warmUp.errors.measures(),
      ...clients.errors.measures(),
    ];
    return measures.map(([name, ...rest]) => [`${way}: ${name}`, ...rest] as Measure);
  } finally {
    await host.stop();
  }
}

/** Waits until no connection is open and no promise of `waitUntil` is pending. Returns how many still are. */
async function settle({ request, branch: { relay } }: WorkerHost): Promise<number> {
  let pending = 0;
  await pollUntil(async () => {
    const { given, settled }: Deferred = await (await request("/_deferred")).json();
    pending = given - settled;
    return pending === 0 && relay.openConnections.length === 0;
  }, { deadlineMs: SETTLE_TIMEOUT_MS, intervalMs: 100 });
  return pending;
}
