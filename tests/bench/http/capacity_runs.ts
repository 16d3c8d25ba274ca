/** The runs of `capacity.ts`: each load that is predicted, and in front of it the samples that the model is told. */
import type { LocalBranch } from "../../support/local_database.ts";
import { type Contender, startContender } from "./contender.ts";
import { giveCore } from "./cores.ts";
import { cpuMs, postgresCpuMs, processesOf } from "./cpu.ts";
import type { Load, LoadFigures } from "./load.ts";
import type { Bench } from "./measure.ts";
import { network } from "./network.ts";

/** A load at a distance. */
export interface Asked {
  readonly latencyMs: number;
  /** Clients that wait for their answers, a rate, or a multiple of the rate that 64 clients have reached. */
  readonly by:
    | { readonly clients: number }
    | { readonly perSecond: number }
    | { readonly times: number };
}

export interface Observed {
  readonly latencyMs: number;
  readonly load: ResolvedLoad;
  readonly rounds: readonly Round[];
}

export type ResolvedLoad =
  | { readonly clients: number; readonly measureMs: number }
  | { readonly perSecond: number; readonly measureMs: number };

/** CPU time of a read: of the service, and of all that shares the other core. */
export interface ReadCpu {
  readonly serviceMs: number;
  readonly sharedMs: number;
}

export interface Round {
  readonly sample: Sample;
  readonly run: LoadFigures;
}

export interface Sample {
  /** Of many clients' reads, and of a few's. */
  readonly manyCpu: ReadCpu;
  readonly fewCpu: ReadCpu;
  /** What many clients see, a few, and a steady rate. */
  readonly many: LoadFigures;
  readonly few: LoadFigures;
  readonly steady: LoadFigures;
}

/** So few that they are used up before the service's thread. */
export const CONNECTIONS = 4;
/** The service has a core of its own. PostgreSQL, the load generator and the distance share the other one. */
const [SHARED_CORE, SERVICE_CORE] = [0, 1] as const;
/** Of the samples. No load that is predicted has as many. */
export const [MANY, FEW] = [32, 8] as const;
/** Requests a second. No load has this rate either. */
const STEADY = 300;
const SAMPLE_MS = 1_000;
/** Until connections are open, and the load before it is over. */
const RAMP_MS = 300;
/**
 * Of each load. The machine stands still for some 50 ms every few seconds, since other programs come and go. A run is so
 * short that most are without, and medians count.
 */
const ROUNDS = 7;
const RUN_MS = 1_000;
/** Of an overload: which of its requests are refused goes up and down for longer than a second. */
const OVERLOAD_MS = 3_000;
/** Requests of a run, at a low rate. */
const FEWEST = 50;
/** Until V8 has compiled the code of a read. While it does, its threads take the service's processor. */
const WARM_UP_READS = 80_000;
const WARM_UP_MS = 3_000;

export type Place = Bench & { readonly port: number; readonly branch: LocalBranch };

/** A running service at a distance from its database. */
interface Site extends AsyncDisposable {
  run(by: Load["by"], durationMs: number): Promise<LoadFigures>;
  /** Of all reads until now. */
  cpu(): ReadCpu;
}

/** One service at a time: V8 forgets the code of one that idles beside another. */
export async function observe(
  asked: readonly Asked[],
  contender: Contender,
  place: Place,
): Promise<Observed[]> {
  for (const pid of [place.load.pid, place.postmaster]) {
    await giveCore(pid, SHARED_CORE);
  }
  const observed: Observed[] = [];
  for (const latencyMs of new Set(asked.map(({ latencyMs }) => latencyMs))) {
    console.error(`measuring: capacity at ${latencyMs} ms one way`);
    await using site = await siteAt(latencyMs, contender, place);
    for (let reads = 0; reads < WARM_UP_READS;) {
      reads += (await site.run({ connections: 64 }, WARM_UP_MS)).accepted.count;
    }
    // PostgreSQL has started processes for the service.
    for (const pid of processesOf(place.postmaster)) await giveCore(pid, SHARED_CORE);
    const { goodput: capacity } = await site.run({ connections: 64 }, WARM_UP_MS);
    // The generator's code for a rate, too.
    await site.run({ requestsPerSecond: capacity / 3 }, WARM_UP_MS);
    for (const { by } of asked.filter((each) => each.latencyMs === latencyMs)) {
      const load = resolve(by, capacity);
      observed.push({ latencyMs, load, rounds: await roundsOf(load, site) });
    }
  }
  return observed;
}

async function roundsOf(load: ResolvedLoad, site: Site): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let k = 0; k < ROUNDS; k++) {
    const sample = await sampleOf(site);
    const run = await site.run(
      "clients" in load ? { connections: load.clients } : { requestsPerSecond: load.perSecond },
      load.measureMs,
    );
    rounds.push({ sample, run });
  }
  return rounds;
}

async function sampleOf(site: Site): Promise<Sample> {
  const [few, fewCpu] = await readsOf(site, FEW);
  const [many, manyCpu] = await readsOf(site, MANY);
  const steady = await site.run({ requestsPerSecond: STEADY }, SAMPLE_MS);
  return { many, manyCpu, few, fewCpu, steady };
}

async function readsOf(site: Site, connections: number): Promise<[LoadFigures, ReadCpu]> {
  const before = site.cpu();
  const figures = await site.run({ connections }, SAMPLE_MS);
  const after = site.cpu();
  // The ramp's requests are as many for each second as those that count.
  const reads = figures.goodput * (SAMPLE_MS + RAMP_MS) / 1_000;
  return [figures, {
    serviceMs: (after.serviceMs - before.serviceMs) / reads,
    sharedMs: (after.sharedMs - before.sharedMs) / reads,
  }];
}

async function siteAt(
  latencyMs: number,
  contender: Contender,
  { port, branch, load, knownIds, postmaster }: Place,
): Promise<Site> {
  const way = await network({ port, latencyMs });
  const env = { ...contender.env, DATABASE_POOL_SIZE: `${CONNECTIONS}` };
  const databaseUrl = branch.env["DATABASE_URL"]!;
  const running = await startContender({ ...contender, env }, { databaseUrl, ...way });
  // The distance has threads of this process.
  await giveCore(Deno.pid, SHARED_CORE);
  await giveCore(running.pid, SERVICE_CORE);
  return {
    run: (by, durationMs) =>
      load.run({
        port: running.port,
        operation: "read",
        knownIds,
        durationMs,
        rampMs: RAMP_MS,
        by,
      }),
    cpu: () => ({
      serviceMs: cpuMs(running.pid),
      sharedMs: postgresCpuMs(postmaster) + cpuMs(load.pid) + cpuMs(Deno.pid),
    }),
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      way[Symbol.dispose]();
    },
  };
}

function resolve(by: Asked["by"], capacity: number): ResolvedLoad {
  if ("clients" in by) return { ...by, measureMs: RUN_MS };
  const perSecond = "times" in by ? Math.round(by.times * capacity) : by.perSecond;
  const leastMs = "times" in by && by.times > 1 ? OVERLOAD_MS : RUN_MS;
  return { perSecond, measureMs: Math.max(leastMs, FEWEST * 1_000 / perSecond) };
}
