/** The model of `deno task capacity` beside runs of the service: twelve points, each predicted and measured. */
import type { LocalBranch } from "../../support/local_database.ts";
import type { CapacityPlan } from "../../../src/dev/capacity/plan.ts";
import { simulate, type SimulationOptions } from "../../../src/dev/capacity/simulation.ts";
import { CONNECTIONS, type Contender, startContender } from "./contender.ts";
import { cpuMs, postgresCpuMs } from "./cpu.ts";
import type { Load, LoadFigures } from "./load.ts";
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
  /** Clients that wait for their answers, a rate, or a multiple of the rate that 64 clients have reached. */
  readonly by:
    | { readonly clients: number }
    | { readonly perSecond: number }
    | { readonly times: number };
}

const ASKED: readonly Asked[] = [
  { latencyMs: 0, by: { clients: 16 } },
  { latencyMs: 0, by: { times: 0.5 } },
  { latencyMs: 5, by: { clients: 16 } },
  { latencyMs: 5, by: { clients: 64 } },
  { latencyMs: 5, by: { perSecond: 1 } },
  { latencyMs: 5, by: { perSecond: 10 } },
  { latencyMs: 5, by: { perSecond: 1_000 } },
  { latencyMs: 5, by: { times: 2 } },
  { latencyMs: 20, by: { clients: 64 } },
  { latencyMs: 20, by: { times: 0.8 } },
  { latencyMs: 20, by: { times: 2 } },
  { latencyMs: 20, by: { times: 4 } },
];

/** Of each point: the median, since other load of the machine comes and goes. */
const ROUNDS = 3;
const RUN_MS = 2_500;
/** Requests of a run, at a low rate. */
const FEWEST = 10;
const WARM_UP_MS = 1_500;
const SAMPLE_MS = 1_500;

type Place = Bench & { readonly port: number; readonly branch: LocalBranch };

export async function capacityPoints(contender: Contender, place: Place): Promise<CapacityPoint[]> {
  const points: CapacityPoint[] = [];
  for (const latencyMs of new Set(ASKED.map(({ latencyMs }) => latencyMs))) {
    console.error(`measuring: capacity at ${latencyMs} ms one way`);
    using way = await network({ port: place.port, latencyMs });
    const databaseUrl = place.branch.env["DATABASE_URL"]!;
    await using running = await startContender(contender, { databaseUrl, ...way });
    const { port, pid } = running;
    const { load, knownId, postmaster } = place;
    const run = (by: Load["by"], durationMs: number) =>
      load.run({ port, operation: "read", knownId, durationMs, by });
    await run({ connections: 64 }, WARM_UP_MS);
    const { goodput: capacity } = await run({ connections: 64 }, RUN_MS);
    const asked = ASKED.filter((each) => each.latencyMs === latencyMs)
      .map(({ by }) => ({ ...loadOf(by, capacity), rounds: [] as LoadFigures[] }));
    const samples: Sample[] = [];
    for (let k = 0; k < ROUNDS; k++) {
      samples.push(await sample({ pid, postmaster, run }));
      for (const { by, measureMs, rounds } of asked) rounds.push(await run(by, measureMs));
    }
    const plan = planOf(samples);
    for (const { label, arrivals, perSecond, measureMs, rounds } of asked) {
      const options = { measureMs, warmUpMs: 0, arrivals, seed: 1 };
      points.push({
        latencyMs,
        load: label,
        predicted: await simulate({ ...plan, perSecond }, options),
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

/** The load for the generator, and the same for the simulation. */
function loadOf(by: Asked["by"], capacity: number): {
  label: string;
  by: Load["by"];
  arrivals: SimulationOptions["arrivals"];
  perSecond: number;
  measureMs: number;
} {
  if ("clients" in by) {
    const { clients } = by;
    return {
      label: `${clients} clients`,
      by: { connections: clients },
      arrivals: by,
      perSecond: 1,
      measureMs: RUN_MS,
    };
  }
  const perSecond = "times" in by ? by.times * capacity : by.perSecond;
  return {
    label: `${Math.round(perSecond)}/s`,
    by: { requestsPerSecond: perSecond },
    arrivals: "even",
    perSecond,
    measureMs: Math.max(RUN_MS, FEWEST * 1_000 / perSecond),
  };
}

interface Sample {
  readonly serviceMs: number;
  readonly databaseMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * What the plan is made of, and no point that is predicted: CPU times of a run of half as many clients as connections,
 * and the distance as a single client sees it, since relay, timers and sockets add to it.
 */
async function sample(
  { pid, postmaster, run }: {
    pid: number;
    postmaster: number;
    run: (by: Load["by"], durationMs: number) => Promise<LoadFigures>;
  },
): Promise<Sample> {
  const [service, database] = [cpuMs(pid), postgresCpuMs(postmaster)];
  const { accepted: { count } } = await run({ connections: CONNECTIONS / 2 }, SAMPLE_MS);
  const serviceMs = (cpuMs(pid) - service) / count;
  const databaseMs = (postgresCpuMs(postmaster) - database) / count;
  const { accepted: { p50Ms, p99Ms } } = await run({ connections: 1 }, SAMPLE_MS);
  return { serviceMs, databaseMs, p50Ms, p99Ms };
}

function planOf(samples: readonly Sample[]): CapacityPlan {
  const of = (key: keyof Sample) => median(samples.map((sample) => sample[key]));
  const read = { serviceMs: of("serviceMs"), databaseMs: of("databaseMs"), diskMs: 0 };
  // One in a hundred of an exponential distribution is above `ln 100` times its average, and half are above `ln 2` times.
  const jitterMs = (of("p99Ms") - of("p50Ms")) / Math.log(50);
  const fixedMs = of("p50Ms") - jitterMs * Math.LN2 - read.serviceMs - read.databaseMs;
  return {
    perSecond: 1,
    writes: 0,
    latencyMs: Math.max(0, fixedMs / 2),
    jitterMs,
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
