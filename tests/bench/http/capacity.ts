/** The model of `deno task capacity` beside runs of the service: twelve loads, each predicted and measured. */
import type { CapacityPlan, Pauses, Times } from "../../../src/dev/capacity/plan.ts";
import {
  type Figures,
  simulate,
  type SimulationOptions,
} from "../../../src/dev/capacity/simulation.ts";
import { TOGETHER_MS } from "../fine_timer.ts";
import { spreadOf } from "../spread.ts";
import {
  type Asked,
  CONNECTIONS,
  FEW,
  MANY,
  observe,
  type Observed,
  type Place,
  type ReadCpu,
  type Sample,
} from "./capacity_runs.ts";
import type { Contender } from "./contender.ts";

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

/** At each distance the lowest rates come last: V8 forgets compiled code during them. */
const ASKED: readonly Asked[] = [
  { latencyMs: 0, by: { clients: 16 } },
  { latencyMs: 0, by: { clients: 64 } },
  { latencyMs: 0, by: { times: 0.5 } },
  { latencyMs: 5, by: { clients: 16 } },
  { latencyMs: 5, by: { clients: 64 } },
  { latencyMs: 5, by: { perSecond: 1_000 } },
  { latencyMs: 5, by: { perSecond: 100 } },
  { latencyMs: 5, by: { perSecond: 10 } },
  { latencyMs: 20, by: { clients: 64 } },
  { latencyMs: 20, by: { times: 0.8 } },
  { latencyMs: 20, by: { times: 2 } },
  { latencyMs: 20, by: { times: 4 } },
];

const SEEDS = 3;
const WARM_UP_MS = 1_000;

/** Longer than requests wait for one another on the way through a service of few clients. */
const PAUSE_MS = 0.4;

export async function capacityPoints(contender: Contender, place: Place): Promise<CapacityPoint[]> {
  return await pointsOf(await observe(ASKED, contender, place));
}

export async function pointsOf(observed: readonly Observed[]): Promise<CapacityPoint[]> {
  const near = observed.filter(({ latencyMs }) => latencyMs === 0)
    .flatMap(({ rounds }) => rounds.map(({ sample }) => sample));
  const own = {
    pauses: pausesOf(near),
    busyMs: medianOf(near.map(({ manyCpu }) => manyCpu), "serviceMs"),
  };
  const points: CapacityPoint[] = [];
  for (const { latencyMs, load, rounds } of observed) {
    const samples = rounds.map(({ sample }) => sample);
    const plan = planOf({ latencyMs, load }, samples, own);
    const runs = rounds.map(({ run }) => run);
    points.push({
      latencyMs,
      load: "clients" in load ? `${load.clients} clients` : `${load.perSecond}/s`,
      predicted: await predict(plan, load),
      measured: {
        goodput: medianOf(runs, "goodput"),
        p99Ms: medianOf(runs.map(({ accepted }) => accepted), "p99Ms"),
        refused: medianOf(runs.map(({ refused }) => refused), "count"),
      },
    });
  }
  return points;
}

async function predict(plan: CapacityPlan, load: Observed["load"]): Promise<Point> {
  const { measureMs } = load;
  const [perSecond, arrivals]: [number, SimulationOptions["arrivals"]] = "clients" in load
    ? [1, load]
    : [load.perSecond, "even"];
  const runs: Figures[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options = { measureMs, warmUpMs: WARM_UP_MS, arrivals, tickMs: TOGETHER_MS, seed };
    runs.push(await simulate({ ...plan, perSecond }, options));
  }
  return {
    goodput: medianOf(runs, "goodput"),
    p99Ms: medianOf(runs, "p99Ms"),
    refused: medianOf(runs, "refused"),
  };
}

/** What the model is told: figures of samples, and none of a load that it predicts. */
function planOf(
  { latencyMs, load }: Pick<Observed, "latencyMs" | "load">,
  samples: readonly Sample[],
  { pauses, busyMs }: { readonly pauses: Pauses; readonly busyMs: number },
): CapacityPlan {
  const isFar = latencyMs > 0;
  const cpu = isFar ? cpuOf(samples, MANY) : cpuOf(samples, "clients" in load ? load.clients : FEW);
  const { serviceMs: sampledMs, sharedMs: databaseMs } = cpu;
  // At no distance the thread is hardly ever idle. At another one a read finds it idle up to twice: as it comes, and as its
  // answer does.
  const busyShare = sampledMs * medianOf(samples.map(({ many }) => many), "goodput") / 1_000;
  const serviceMs = isFar ? Math.min(busyMs, sampledMs) : sampledMs;
  const wakeMs = (sampledMs - serviceMs) / (2 * Math.max(0.1, 1 - busyShare));
  const read = { serviceMs, databaseMs, diskMs: 0 };
  const few = usual(samples.map(({ few }) => few.accepted.times));
  const many = usual(samples.map(({ many }) => many.accepted.times));
  const steady = usual(samples.map(({ steady }) => steady.accepted.times));
  // At a distance few of the samples' requests wait for one another: what they take longer than the quickest, the way has
  // taken, and pauses are in it. At none the model makes that wait itself. Clients that wait for one another's answers send
  // together more often than a steady rate does.
  const alike = "clients" in load ? [...few, ...many] : steady;
  const quickestMs = few[0]!;
  return {
    perSecond: 1,
    writes: 0,
    latencyMs: Math.max(0, quickestMs - sampledMs - databaseMs) / 2,
    jitterMs: isFar ? alike.map((ms) => Math.max(0, ms - quickestMs)) : [],
    pauses: isFar ? { ...pauses, perRequest: 0 } : pauses,
    wakeMs,
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

/**
 * What a read costs with so many clients. Reads that come together share transactions, and the more clients there are, the
 * more of them do: a line through the costs of a few clients and of many, over the inverse of their number.
 */
function cpuOf(samples: readonly Sample[], clients: number): ReadCpu {
  const at = (key: keyof ReadCpu) => {
    const few = medianOf(samples.map(({ fewCpu }) => fewCpu), key);
    const many = medianOf(samples.map(({ manyCpu }) => manyCpu), key);
    return many + (few - many) * (1 / clients - 1 / MANY) / (1 / FEW - 1 / MANY);
  };
  return { serviceMs: at("serviceMs"), sharedMs: at("sharedMs") };
}

/**
 * At no distance each pause holds up all clients, and each of their requests takes so much longer than others. A few clients
 * show how often: once in so many requests, however many clients there are. With more clients a pause takes longer: a line
 * through the averages of a few and of many.
 */
function pausesOf(samples: readonly Sample[]): Pauses {
  const few = excessOf(samples.map(({ few }) => few.accepted.times));
  const many = excessOf(samples.map(({ many }) => many.accepted.times));
  const ofFew = few.filter((ms) => ms > PAUSE_MS);
  const perRequest = ofFew.length / few.length / FEW;
  const ofMany = many.slice(Math.round(many.length * (1 - perRequest * MANY)));
  const perConcurrentMs = Math.max(0, (averageOf(ofMany) - averageOf(ofFew)) / (MANY - FEW));
  return {
    perRequest,
    lengthsMs: ofFew.map((ms) => Math.max(0, ms - FEW * perConcurrentMs)),
    perConcurrentMs,
  };
}

/** What requests take longer than the middle one. */
function excessOf(rounds: readonly Times[]): Times {
  const times = usual(rounds);
  const middleMs = spreadOf(times).median;
  return times.map((ms) => ms - middleMs);
}

function averageOf(times: Times): number {
  return times.reduce((sum, ms) => sum + ms, 0) / Math.max(1, times.length);
}

/** The median of the rounds for each share of the requests: in a single one, another program may have come between. */
function usual(rounds: readonly Times[]): Times {
  return rounds[0]!.map((_, k) => spreadOf(rounds.map((times) => times[k]!)).median);
}

function medianOf<Key extends string>(
  all: readonly Readonly<Record<Key, number>>[],
  key: Key,
): number {
  return spreadOf(all.map((each) => each[key])).median;
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
