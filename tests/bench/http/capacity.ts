/** The model of `deno task capacity` beside runs of the service: ten points, each predicted and measured. */
import type { LocalBranch } from "../../support/local_database.ts";
import type { CapacityPlan } from "../../../src/dev/capacity/plan.ts";
import { simulate, type SimulationOptions } from "../../../src/dev/capacity/simulation.ts";
import { CONNECTIONS, type Contender, type RunningContender, startContender } from "./contender.ts";
import { cpuMs, postgresCpuMs } from "./cpu.ts";
import type { Load } from "./load.ts";
import type { Bench } from "./measure.ts";
import { network } from "./network.ts";
import { spreadOf } from "../spread.ts";

export interface CapacityPoint {
  readonly latencyMs: number;
  readonly load: string;
  readonly predicted: Point;
  readonly measured: Point;
}

export interface Point {
  readonly goodput: number;
  readonly p99Ms: number;
  readonly refused: number;
}

interface Asked {
  readonly latencyMs: number;
  /** Clients that wait for their answers, or a rate as a multiple of what 64 clients have reached. */
  readonly by: { readonly clients: number } | { readonly times: number };
}

const ASKED: readonly Asked[] = [
  { latencyMs: 0, by: { clients: 16 } },
  { latencyMs: 0, by: { times: 0.5 } },
  { latencyMs: 5, by: { clients: 16 } },
  { latencyMs: 5, by: { clients: 64 } },
  { latencyMs: 5, by: { times: 0.8 } },
  { latencyMs: 5, by: { times: 2 } },
  { latencyMs: 20, by: { clients: 64 } },
  { latencyMs: 20, by: { times: 0.8 } },
  { latencyMs: 20, by: { times: 2 } },
  { latencyMs: 20, by: { times: 4 } },
];

/** Of each point: the median, since other load of the machine comes and goes. */
const ROUNDS = 3;
const RUN_MS = 2_500;
const WARM_UP_MS = 1_500;

type Place = Bench & { readonly port: number; readonly branch: LocalBranch };

export async function capacityPoints(contender: Contender, place: Place): Promise<CapacityPoint[]> {
  const points: CapacityPoint[] = [];
  for (const latencyMs of new Set(ASKED.map(({ latencyMs }) => latencyMs))) {
    console.error(`measuring: capacity at ${latencyMs} ms one way`);
    using way = await network({ port: place.port, latencyMs });
    const databaseUrl = place.branch.env["DATABASE_URL"]!;
    await using running = await startContender(contender, { databaseUrl, ...way });
    const run = (by: Load["by"], durationMs = RUN_MS) =>
      place.load.run({
        port: running.port,
        operation: "read",
        knownId: place.knownId,
        durationMs,
        by,
      });
    await run({ connections: 64 }, WARM_UP_MS);
    const plan = await planOf(running, { ...place, run });
    const { goodput: capacity } = await run({ connections: 64 });
    for (const { by } of ASKED.filter((asked) => asked.latencyMs === latencyMs)) {
      const perSecond = "times" in by ? by.times * capacity : 1;
      const rounds = [];
      for (let k = 0; k < ROUNDS; k++) {
        rounds.push(
          await run(
            "times" in by ? { requestsPerSecond: perSecond } : { connections: by.clients },
          ),
        );
      }
      const arrivals: SimulationOptions["arrivals"] = "times" in by ? "even" : by;
      const predicted = await simulate({ ...plan, perSecond }, {
        measureMs: RUN_MS,
        warmUpMs: 0,
        arrivals,
        seed: 1,
      });
      points.push({
        latencyMs,
        load: "times" in by ? `${Math.round(perSecond)}/s` : `${by.clients} clients`,
        predicted,
        measured: {
          goodput: median(rounds.map(({ goodput }) => goodput)),
          p99Ms: median(rounds.map(({ accepted }) => accepted.p99Ms)),
          refused: median(rounds.map(({ refused }) => refused.count)),
        },
      });
    }
  }
  return points;
}

/**
 * The plan of this machine: CPU times from a run with as many clients as connections, and the distance from one with a
 * single client, since relay, timers and sockets add to it. Neither is a point that is predicted.
 */
async function planOf(
  { pid }: RunningContender,
  { postmaster, run }: Place & { run: (by: Load["by"]) => ReturnType<Bench["load"]["run"]> },
): Promise<CapacityPlan> {
  const before = [cpuMs(pid), postgresCpuMs(postmaster)] as const;
  const { accepted: { count } } = await run({ connections: 8 });
  const serviceMs = (cpuMs(pid) - before[0]) / count;
  const databaseMs = (postgresCpuMs(postmaster) - before[1]) / count;
  const { accepted: { p50Ms } } = await run({ connections: 1 });
  const read = { serviceMs, databaseMs, diskMs: 0 };
  return {
    perSecond: 1,
    writes: 0,
    latencyMs: Math.max(0, (p50Ms - serviceMs - databaseMs) / 2),
    instances: 1,
    size: CONNECTIONS,
    overflow: 0,
    maxConnections: CONNECTIONS,
    serverConnections: undefined,
    cores: 1,
    read,
    write: read,
  };
}

function median(values: readonly number[]): number {
  return spreadOf(values).median;
}

/** Markdown, since READMEs quote it. */
export function capacityTable(points: readonly CapacityPoint[]): string {
  const pair = (predicted: number, measured: number, digits = 0) => {
    const error = measured === 0 ? "" : ` (${signed(100 * (predicted / measured - 1))} %)`;
    return `${predicted.toFixed(digits)} / ${measured.toFixed(digits)}${error}`;
  };
  return [
    "| one way | load | served a second, predicted / measured | p99 ms | refused |",
    "|---|---|---|---|---|",
    ...points.map(({ latencyMs, load, predicted, measured }) =>
      `| ${latencyMs} ms | ${load} | ${pair(predicted.goodput, measured.goodput)} | ${
        pair(predicted.p99Ms, measured.p99Ms, 1)
      } | ${predicted.refused} / ${measured.refused} |`
    ),
  ].join("\n");
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(0)}`;
}
