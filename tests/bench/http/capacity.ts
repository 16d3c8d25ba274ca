/** The model of `deno task capacity` beside runs of the service: twelve points, each predicted and measured. */
import type { LocalBranch } from "../../support/local_database.ts";
import type { CapacityPlan } from "../../../src/dev/capacity/plan.ts";
import {
  type Figures,
  simulate,
  type SimulationOptions,
} from "../../../src/dev/capacity/simulation.ts";
import { type Contender, startContender } from "./contender.ts";
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
  { latencyMs: 0, by: { clients: 64 } },
  { latencyMs: 0, by: { times: 0.5 } },
  { latencyMs: 5, by: { clients: 16 } },
  { latencyMs: 5, by: { clients: 64 } },
  { latencyMs: 5, by: { perSecond: 1 } },
  { latencyMs: 5, by: { perSecond: 10 } },
  { latencyMs: 5, by: { perSecond: 1_000 } },
  { latencyMs: 20, by: { clients: 64 } },
  { latencyMs: 20, by: { times: 0.8 } },
  { latencyMs: 20, by: { times: 2 } },
  { latencyMs: 20, by: { times: 4 } },
];

/** So few that they are used up before the processors of this machine, on which all parts run. */
const CONNECTIONS = 4;
/** Clients of the run from which the CPU times are. */
const SAMPLE_CLIENTS = 8;
/** Of each point. */
const ROUNDS = 3;
const SEEDS = 5;
const RUN_MS = 2_500;
/** Requests of a run, at a low rate. */
const FEWEST = 10;
/** Until V8 has compiled the service's code. */
const WARM_UP_MS = 9_000;
/** After a pause in which V8 may have thrown that code away. */
const REWARM_MS = 2_000;
const SAMPLE_MS = 1_000;

type Place = Bench & { readonly port: number; readonly branch: LocalBranch };

/** A running service at a distance from its database. */
interface Site extends AsyncDisposable {
  readonly pid: number;
  run(by: Load["by"], durationMs: number): Promise<LoadFigures>;
}

export async function capacityPoints(contender: Contender, place: Place): Promise<CapacityPoint[]> {
  await using near = await siteAt(0, contender, place);
  const points: CapacityPoint[] = [];
  for (const latencyMs of new Set(ASKED.map(({ latencyMs }) => latencyMs))) {
    console.error(`measuring: capacity at ${latencyMs} ms one way`);
    await using site = await siteAt(latencyMs, contender, place);
    const { goodput: capacity } = await site.run({ connections: 64 }, RUN_MS);
    for (const { by } of ASKED.filter((each) => each.latencyMs === latencyMs)) {
      const asked = loadOf(by, capacity);
      const rounds: Round[] = [];
      for (let k = 0; k < ROUNDS; k++) {
        const sampled = await sample({ near, site, postmaster: place.postmaster });
        rounds.push({ sampled, figures: await site.run(asked.by, asked.measureMs) });
      }
      const { sampled, figures: { goodput, accepted, refused, tickMs } } = quietestOf(rounds);
      points.push({
        latencyMs,
        load: asked.label,
        predicted: await predict({ ...planOf(sampled), perSecond: asked.perSecond }, {
          ...asked,
          tickMs,
        }),
        measured: { goodput, p99Ms: accepted.p99Ms, refused: refused.count },
      });
    }
  }
  return points;
}

interface Round {
  readonly sampled: Sample;
  readonly figures: LoadFigures;
}

/** Other programs of the machine come and go: the round in whose sample the service paused least. */
function quietestOf(rounds: readonly Round[]): Round {
  const paused = ({ sampled: { pausesPerSecond, pauseMs } }: Round) => pausesPerSecond * pauseMs;
  return rounds.toSorted((one, other) => paused(one) - paused(other))[0]!;
}

/** The medians of several seeds. */
async function predict(
  plan: CapacityPlan,
  { measureMs, arrivals, tickMs }: Pick<SimulationOptions, "measureMs" | "arrivals" | "tickMs">,
): Promise<Point> {
  const runs: Figures[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    runs.push(await simulate(plan, { measureMs, warmUpMs: 0, arrivals, tickMs, seed }));
  }
  const of = (key: keyof Figures) => spreadOf(runs.map((figures) => figures[key])).median;
  return { goodput: of("goodput"), p99Ms: of("p99Ms"), refused: of("refused") };
}

async function siteAt(
  latencyMs: number,
  contender: Contender,
  { port, branch, load, knownId }: Place,
): Promise<Site> {
  const way = await network({ port, latencyMs });
  const env = { ...contender.env, DATABASE_POOL_SIZE: `${CONNECTIONS}` };
  const databaseUrl = branch.env["DATABASE_URL"]!;
  const running = await startContender({ ...contender, env }, { databaseUrl, ...way });
  const run: Site["run"] = (by, durationMs) =>
    load.run({ port: running.port, operation: "read", knownId, durationMs, by });
  await run({ connections: 64 }, WARM_UP_MS);
  return {
    pid: running.pid,
    run,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      way[Symbol.dispose]();
    },
  };
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
  readonly pausesPerSecond: number;
  readonly pauseMs: number;
  readonly p50Ms: number;
  readonly p75Ms: number;
}

/**
 * What the plan is made of, and no point that is predicted. At no distance: CPU times of a few clients, and pauses as a
 * single client sees them. At the distance: how a single client sees it, since timers and sockets add to it.
 */
async function sample(
  { near, site, postmaster }: { near: Site; site: Site; postmaster: number },
): Promise<Sample> {
  await near.run({ connections: SAMPLE_CLIENTS }, REWARM_MS);
  const [service, database] = [cpuMs(near.pid), postgresCpuMs(postmaster)];
  const { accepted: { count } } = await near.run({ connections: SAMPLE_CLIENTS }, SAMPLE_MS);
  const serviceMs = (cpuMs(near.pid) - service) / count;
  const databaseMs = (postgresCpuMs(postmaster) - database) / count;
  const alone = await near.run({ connections: 1 }, SAMPLE_MS);
  const { stalls } = alone.accepted;
  const { accepted: { p50Ms, p75Ms } } = await site.run({ connections: 1 }, SAMPLE_MS);
  return {
    serviceMs,
    databaseMs,
    pausesPerSecond: stalls.count / alone.seconds,
    pauseMs: stalls.meanMs,
    p50Ms,
    p75Ms,
  };
}

function planOf({ serviceMs, databaseMs, p50Ms, p75Ms, ...pauses }: Sample): CapacityPlan {
  const read = { serviceMs, databaseMs, diskMs: 0 };
  // Half of an exponential distribution is above `ln 2` times its average, and a quarter above twice that. The p99 has the
  // pauses in it.
  const jitterMs = (p75Ms - p50Ms) / Math.LN2;
  const fixedMs = p50Ms - jitterMs * Math.LN2 - serviceMs - databaseMs;
  return {
    perSecond: 1,
    writes: 0,
    latencyMs: Math.max(0, fixedMs / 2),
    jitterMs,
    pauses: { perSecond: pauses.pausesPerSecond, meanMs: pauses.pauseMs },
    instances: 1,
    size: CONNECTIONS,
    overflow: 0,
    readDepth: "auto",
    maxConnections: CONNECTIONS,
    serverConnections: undefined,
    cores: 1,
    read,
    write: read,
  };
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
