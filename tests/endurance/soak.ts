/**
 * Many units of work on a real server, while a random backend is terminated again and again. A terminated backend may
 * cost a caller one thing only: that the outcome of a COMMIT that had been sent is unknown. Every other failure is
 * replayed or repeated, so that its caller does not see it.
 */
import { type Database, type Session, sql } from "../../src/db/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { BackendKiller } from "./backend_killer.ts";
import { agreementMeasures, OutcomeLog } from "./outcome_log.ts";
import { pick, seededRandom } from "./random.ts";
import { ErrorTally } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { atLeast, atMost, type Measure, zero } from "./verdict.ts";

export interface SoakOptions {
  readonly sessions: number;
  /** Time from one terminated backend to the next. */
  readonly killEveryMs: number;
  /** Chooses the units and the backends. */
  readonly seed: number;
}

export type SoakResult = Awaited<ReturnType<typeof soak>>;

const CONCURRENCY = 50;
const POOL_SIZE = 5;
const MAX_OVERFLOW = 5;
const SETTINGS = {
  DATABASE_POOL_SIZE: `${POOL_SIZE}`,
  DATABASE_MAX_OVERFLOW: `${MAX_OVERFLOW}`,
  DATABASE_POOL_RECYCLE: "1",
  // So many callers for so few connections always queue, on a slow machine for long.
  DATABASE_POOL_SHED_TARGET: "0",
  // Enough that no unit loses all of its connections, on a slow machine too.
  DATABASE_RETRY_ATTEMPTS: "12",
};
const HEAP_SAMPLES = 80;

/** In the full run 150,000 sessions lie between the two quarters, so that 14 bytes kept for each of them would show. */
export const HEAP_GROWTH_BYTES = 2 * 1024 * 1024;

export const soakScenario: Scenario<SoakOptions> = {
  flags: ["sessions", "seed"],
  options: (flags) => ({
    sessions: Math.ceil(flags.positive("sessions", { otherwise: 200_000, max: 1e9 })),
    killEveryMs: 50,
    seed: flags.seed(),
  }),
  run: async (options, onProgress) => soakReport(await soak(options, onProgress)),
};

async function soak(options: SoakOptions, onProgress: (line: string) => void) {
  await using branch = await (await localDatabase()).connect();
  // No unique key: a unit that is done twice has two rows.
  await branch.asAdmin("create table soak_writes (id int not null)");
  await branch.asAdmin("grant all on soak_writes to public");
  await using killer = await BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: options.killEveryMs,
    random: seededRandom(options.seed + 1),
  });
  const db = branch.open(SETTINGS);
  const startedMs = performance.now();
  const { log, heapBytes, failedReads, ...counts } = await runUnits(db, options, onProgress);
  const seconds = (performance.now() - startedMs) / 1_000;
  await killer.stop();
  const { replayed, counters } = db.stats();
  await db.close({ timeoutMs: 5_000 });
  const leftBackends = await killer.count();
  const rows = await branch.asAdmin<{ id: number }>("select id from soak_writes");
  return {
    ...options,
    seconds,
    ...counts,
    failedReads,
    // Without those of unknown outcome.
    failedWrites: log.count("failed") - failedReads,
    unknownWrites: log.count("unknown"),
    disagreements: log.audit(rows.map(({ id }) => id)),
    kills: killer.kills,
    mostBackends: killer.most,
    leftBackends,
    heapGrowthBytes: growthOf(heapBytes),
    replayed,
    counters,
  };
}

interface Unit {
  readonly name: string;
  readonly writes: boolean;
  work(session: Session, id: number): Promise<unknown>;
}

const insert = (id: number) => sql`insert into soak_writes (id) values (${id})`;

const UNITS: readonly Unit[] = [
  {
    name: "a read in one flight",
    writes: false,
    work: (session) => session.commit([sql`select 1`]),
  },
  {
    name: "reads in three flights",
    writes: false,
    async work(session) {
      await session.query(sql`select 1`);
      await session.query(sql`select 2`);
      await session.commit();
    },
  },
  {
    name: "a write in one flight",
    writes: true,
    work: (session, id) => session.commit([insert(id)]),
  },
  {
    name: "a read, a write, COMMIT",
    writes: true,
    async work(session, id) {
      await session.query(sql`select 1`);
      await session.query(insert(id));
      await session.commit();
    },
  },
];

/** Absent without `--v8-flags=--expose-gc`: then the heap is not measured. */
const collectGarbage = (globalThis as { gc?: () => void }).gc;

/** Runs all units. Each of the concurrent callers runs one after the other. */
async function runUnits(
  db: Database,
  { sessions, seed }: SoakOptions,
  onProgress: (line: string) => void,
) {
  const random = seededRandom(seed);
  const log = new OutcomeLog(sessions);
  const errors = new ErrorTally();
  const heapBytes: number[] = [];
  let [runs, failedReads] = [0, 0];
  const run = async ({ name, writes, work }: Unit, id: number) => {
    try {
      await db.transaction((session) => {
        runs++;
        return work(session, id);
      }, { readOnly: !writes });
      log.record(id, writes ? "done" : "read");
    } catch (error) {
      const { name: kind, message } = error as Error;
      const isUnknown = writes && kind === "CommitOutcomeUnknownError";
      log.record(id, isUnknown ? "unknown" : "failed");
      if (!writes) failedReads++;
      errors.add(`${name}: ${kind}`, message);
    }
  };
  const sampleEvery = Math.ceil(sessions / HEAP_SAMPLES);
  const tenth = Math.ceil(sessions / 10);
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    while (log.begun < sessions) {
      const id = log.begin();
      await run(pick(UNITS, random)!, id);
      if (id % sampleEvery === 0 && collectGarbage !== undefined) {
        collectGarbage();
        heapBytes.push(Deno.memoryUsage().heapUsed);
      }
      if (id > 0 && id % tenth === 0) onProgress(`${id / tenth}0 %`);
    }
  }));
  return { log, errors, heapBytes, runs, failedReads };
}

/** From the median of the first quarter to that of the last; undefined where the heap was not measured. */
function growthOf(bytes: readonly number[]): number | undefined {
  const quarter = Math.floor(bytes.length / 4);
  if (quarter === 0) return undefined;
  const median = (values: readonly number[]) =>
    values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!;
  return median(bytes.slice(-quarter)) - median(bytes.slice(0, quarter));
}

export function soakReport(result: SoakResult): Measure[] {
  const { sessions, seconds, counters, kills, heapGrowthBytes } = result;
  return [
    ["seed", result.seed],
    ["sessions", sessions],
    ["sessions a second", sessions / seconds],
    ["backends terminated", kills, atLeast(1)],
    ["first flights replayed", result.replayed],
    ["units repeated", result.runs - sessions],
    ["reads failed", result.failedReads, zero],
    ["writes failed, outcome known", result.failedWrites, zero],
    ["writes of unknown outcome", result.unknownWrites, atMost(kills)],
    ...agreementMeasures(result.disagreements),
    ["most backends at once", result.mostBackends, atMost(POOL_SIZE + MAX_OVERFLOW)],
    ["backends after close()", result.leftBackends, zero],
    heapGrowthBytes === undefined
      ? ["heap growth, bytes", "not measured: run with --v8-flags=--expose-gc"]
      : ["heap growth, bytes", heapGrowthBytes, atMost(HEAP_GROWTH_BYTES)],
    ["connects", counters.connected],
    ["connects failed", counters.connectFailed],
    ["closed as too old", counters.recycled],
    ["closed as of an old generation", counters.staleGeneration],
    ["closed as overflow", counters.overflowClosed],
    ["closed as broken", counters.broken],
    ["requests refused", counters.queueFull + counters.shed + counters.unreachable],
    ["requests timed out", counters.timedOut],
    ...result.errors.measures(),
  ];
}
