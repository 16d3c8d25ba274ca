/**
 * Writes, each followed by reads through replicas that lag: one read brings the position of its write, and another one does
 * not. The first must never be old. The second must be now and then, or the replicas did not lag and the run shows nothing.
 */
import { type Database, sql } from "../../src/db/mod.ts";
import { openDatabase } from "../../src/library/deno/mod.ts";
import { ReplicatingServer } from "../support/replicas.ts";
import { pick, type Random, seededRandom } from "./random.ts";
import { latenciesOf } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { atLeast, type Measure, zero } from "./verdict.ts";

export interface ReplicaLagOptions {
  readonly pairs: number;
  /** Callers at once. */
  readonly callers: number;
  readonly seed: number;
}

export type ReplicaLagResult = Awaited<ReturnType<typeof replicaLag>>;

/** Longest that the replay of a commit is delayed, or that all replay is paused. */
const LAG_MAX_MS = 40;

/** Longest pause of a caller between a write and its reads. */
const THOUGHT_MAX_MS = 80;

export const replicaLagScenario: Scenario<ReplicaLagOptions> = {
  flags: ["pairs", "seed"],
  options: (flags) => ({
    pairs: flags.positive("pairs", { otherwise: 10_000, max: 1_000_000 }),
    callers: 16,
    seed: flags.seed(),
  }),
  run: async (options) => replicaLagReport(await replicaLag(options)),
};

async function replicaLag(options: ReplicaLagOptions) {
  const random = seededRandom(options.seed);
  await using primary = await ReplicatingServer.start();
  await using one = await primary.copy({ asStandby: true });
  await using two = await primary.copy({ asStandby: true });
  const standbys = [one, two];
  for (const standby of standbys) {
    await standby.waitFor("select count(*) = 1 from pg_stat_wal_receiver");
  }
  const startedMs = performance.now();
  const ending = new AbortController();
  const lagging = Promise.all(standbys.map((standby) => lag(standby, random, ending.signal)));
  const told: Told = { withPosition: [], without: [], readMs: [], positions: 0, errors: 0 };
  let left = options.pairs;
  const db = openDatabase({
    url: primary.url().href,
    transport: "tcp",
    prepare: "off",
    pool: { size: options.callers, maxOverflow: 0 },
    replicas: { urls: standbys.map((standby) => standby.url().href) },
  });
  try {
    await Promise.all(Array.from({ length: options.callers }, async () => {
      while (left-- > 0) await pair(db, random, told);
    }));
  } finally {
    ending.abort();
    await lagging;
    await db.close();
  }
  const { replicas = [] } = db.stats();
  const sum = (of: "reads" | "stale" | "failed") =>
    replicas.reduce((total, replica) => total + replica[of], 0);
  const connections = await Promise.all(
    [primary, ...standbys].map(async (server) =>
      Number(
        await server.value("select count(*) from pg_stat_activity where usename = 'user_service'"),
      )
    ),
  );
  return {
    ...options,
    seconds: (performance.now() - startedMs) / 1_000,
    positions: told.positions,
    errors: told.errors,
    oldWithPosition: told.withPosition.filter((isOld) => isOld).length,
    oldWithout: told.without.filter((isOld) => isOld).length,
    reads: latenciesOf(told.readMs),
    onReplicas: sum("reads"),
    tooFarBehind: sum("stale"),
    failed: sum("failed"),
    left: connections.reduce((total, count) => total + count, 0),
  };
}

/** Whether each read was old, and how long it took. */
interface Told {
  readonly withPosition: boolean[];
  readonly without: boolean[];
  readonly readMs: number[];
  /** Writes that gave a position of their own. */
  positions: number;
  errors: number;
}

async function pair(db: Database, random: Random, told: Told): Promise<void> {
  const name = crypto.randomUUID();
  const after = await db.transaction(async (session) => {
    await session.commit([sql`insert into effects values (${name})`]);
    return session.position!;
  });
  if (after !== "primary") told.positions++;
  await pause(random() * THOUGHT_MAX_MS);
  const read = (replica: { after?: string }) =>
    db.session({ readOnly: true, replica }).commit([
      sql<{ found: boolean }>`select exists (select from effects where name = ${name}) as found`,
    ]);
  const startedMs = performance.now();
  try {
    const [[[mine]], [[any]]] = await Promise.all([read({ after }), read({})]);
    told.withPosition.push(!mine!.found);
    told.without.push(!any!.found);
  } catch {
    told.errors++;
  }
  told.readMs.push(performance.now() - startedMs);
}

/** Delays the replay of commits, or pauses all replay, for random times. */
async function lag(standby: ReplicatingServer, random: Random, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (random() < 0.5) {
      const delayMs = pick([0, LAG_MAX_MS / 4, LAG_MAX_MS], random)!;
      await standby.run(`alter system set recovery_min_apply_delay = '${delayMs}ms'`);
      await standby.run("select pg_reload_conf()");
    } else {
      await standby.run("select pg_wal_replay_pause()");
      await pause(random() * LAG_MAX_MS);
      await standby.run("select pg_wal_replay_resume()");
    }
    await pause(random() * LAG_MAX_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function replicaLagReport(result: ReplicaLagResult): Measure[] {
  const { pairs, callers, seconds, reads } = result;
  return [
    ["pairs of a write and its reads", pairs],
    ["callers at once", callers],
    ["seconds", seconds],
    ["old reads, the write's position brought", result.oldWithPosition, zero],
    ["old reads, no position brought", result.oldWithout, atLeast(1)],
    ["reads that failed", result.errors, zero],
    ["writes that gave no position of their own", pairs - result.positions, zero],
    ["reads that a replica answered", result.onReplicas, atLeast(pairs / 10)],
    ["reads that a replica was too old for", result.tooFarBehind, atLeast(1)],
    ["reads that failed on a replica", result.failed],
    ["pair of reads, ms at p50", reads.p50],
    ["pair of reads, ms at p99", reads.p99],
    ["connections left", result.left, zero],
  ];
}
