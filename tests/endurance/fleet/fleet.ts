/**
 * Several service processes behind one PgBouncer in transaction mode, and many clients with keep-alive connections. First
 * alone, to see how the processes share the server connections; then random backends are terminated, and PgBouncer itself
 * is killed and started again. Every write of a client leaves an event, by which its outcome is checked.
 */
import { permissionsOf } from "../../../src/dev/permissions.ts";
import { sleep } from "../../../src/db/time/timeout.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";
import { findPgBouncer, type PgBouncer, startPgBouncer } from "../../support/pgbouncer.ts";
import { type ServiceProcess, startServiceProcess } from "../../support/service_process.ts";
import { testServer } from "../../support/test_server.ts";
import { BackendKiller } from "../backend_killer.ts";
import { agreementMeasures, OutcomeLog } from "../outcome_log.ts";
import { seededRandom } from "../random.ts";
import { latenciesOf, sumOf } from "../report.ts";
import type { Scenario } from "../scenario.ts";
import { atLeast, atMost, type Measure, zero } from "../verdict.ts";
import { FleetClient } from "./client.ts";
import { type Phase, Tally } from "./tally.ts";

export interface FleetOptions {
  readonly processes: number;
  readonly clients: number;
  /** PgBouncer's connections to the server. */
  readonly serverConnections: number;
  /** Each process's connections to PgBouncer: half of them are kept. */
  readonly connections: number;
  readonly warmUpMs: number;
  readonly calmMs: number;
  readonly killsMs: number;
  /** Time from one terminated backend to the next. */
  readonly killEveryMs: number;
  /** Time from one kill of PgBouncer to the next. */
  readonly restartEveryMs: number;
  /** Most that a process may be above or below the mean of all, as a share of it: its goodput, and its p99. */
  readonly fairness: { readonly goodput: number; readonly p99: number };
  /** Chooses the requests and the backends. */
  readonly seed: number;
}

export type FleetResult = Awaited<ReturnType<typeof fleet>>;

/** How long PgBouncer is gone. */
const DOWN_MS = 300;

/** A transaction whose client has gone is ended by the server's own timeouts. */
const REST_MS = 35_000;

export const fleetScenario: Scenario<FleetOptions> = {
  flags: ["minutes", "seed"],
  options(flags) {
    const forMs = flags.positive("minutes", { otherwise: 4, max: 600 }) * 60_000;
    return {
      processes: 8,
      clients: 2_000,
      serverConnections: 20,
      connections: 50,
      warmUpMs: 15_000,
      calmMs: forMs / 2,
      killsMs: forMs / 2,
      killEveryMs: 500,
      restartEveryMs: 10_000,
      fairness: { goodput: 0.2, p99: 0.2 },
      seed: flags.seed(),
    };
  },
  run: async (options, onProgress) => fleetReport(await fleet(options, onProgress)),
};

async function fleet(options: FleetOptions, onProgress: (line: string) => void) {
  const { processes, clients, seed } = options;
  const program = await findPgBouncer();
  if (program === undefined) {
    throw new Error("Cannot run the fleet as PgBouncer is not installed: install `pgbouncer`");
  }
  const database = await localDatabase();
  await using branch = await database.connectDirectly();
  await using relayed = await database.connect();
  await writeUnitsDown(branch);
  await using stack = new AsyncDisposableStack();
  const pooler = await startPgBouncer(program, await testServer(), {
    default_pool_size: `${options.serverConnections}`,
    max_client_conn: "2000",
  });
  stack.defer(() => pooler.stop());
  const services = await startProcesses(branch, pooler, options);
  for (const service of services) stack.use(service);
  onProgress(`${processes} processes listen`);

  const log = new OutcomeLog();
  const over = new AbortController();
  const tallies = services.map(() => new Tally());
  const enter = (phase: Phase) => {
    for (const tally of tallies) tally.phase = phase;
    onProgress(phase);
  };
  const all = Array.from({ length: clients }, (_, at) => {
    const k = at % processes;
    const port = services[k]!.port;
    const random = seededRandom(seed ^ Math.imul(at + 1, 0x9e3779b1));
    return stack.use(
      new FleetClient({ port, log, tally: tallies[k]!, random, isOver: over.signal }),
    );
  });
  const running = all.map((client) => client.run());
  await sleep(options.warmUpMs);
  enter("calm");
  await sleep(options.calmMs);
  enter("kills");
  const adminEnv = relayed.envOf("postgres");
  const random = seededRandom(seed + 1);
  await using killer = await BackendKiller.start({
    adminEnv,
    everyMs: options.killEveryMs,
    random,
  });
  const restarts = await restartAgain(pooler, options);
  await killer.stop();
  enter("end");
  over.abort();
  await Promise.all(running);

  const inTransaction = await restOf(branch);
  for (const service of services) service.signal("SIGTERM");
  const codes = await Promise.all(services.map(async ({ ended }) => (await ended).code));
  const mostBackends = Math.max(killer.most, await killer.count());
  await pooler.stop();
  const isGone = async () => await killer.count() === 0;
  await pollUntil(isGone, { deadlineMs: 5_000, intervalMs: 50 });
  const rows = await branch.asAdmin<{ unit: number }>("select unit from fleet_units");
  return {
    ...options,
    tallies,
    outcomes: log.counts(),
    disagreements: log.audit(rows.map(({ unit }) => unit)),
    kills: killer.kills,
    restarts,
    mostBackends,
    inTransaction,
    leftBackends: await killer.count(),
    failedExits: codes.filter((code) => code !== 0).length,
    failures: services.flatMap(({ lines }) => lines.err).slice(0, 3),
  };
}

/** Each event of a user names the unit that wrote it. No unique key: a unit that is done twice has two rows. */
async function writeUnitsDown(branch: LocalBranch): Promise<void> {
  const statements = [
    "create table fleet_units (unit int not null)",
    `create function note_unit() returns trigger language plpgsql security definer as $$ begin
      insert into public.fleet_units values (substring(new.data->>'name' from '^unit (\\d+)$')::int);
      return new;
    end $$`,
    `create trigger note_unit after insert on user_events
      for each row execute function note_unit()`,
  ];
  for (const statement of statements) await branch.asAdmin(statement);
}

/** As `deno task start` starts them. One by one: each start takes a processor for a second. */
async function startProcesses(
  branch: LocalBranch,
  pooler: PgBouncer,
  { processes, connections }: FleetOptions,
): Promise<ServiceProcess[]> {
  const url = new URL(branch.env["DATABASE_URL"]!);
  url.port = `${pooler.port}`;
  const settings = {
    ...branch.env,
    DATABASE_URL: url.href,
    DATABASE_POOL_SIZE: `${connections / 2}`,
    DATABASE_MAX_OVERFLOW: `${connections / 2}`,
    LOG_LEVEL: "error",
    PORT: "0",
  };
  const flags = permissionsOf(settings).map(({ flag }) => flag);
  const started: ServiceProcess[] = [];
  while (started.length < processes) {
    started.push(await startServiceProcess({ env: settings, flags }));
  }
  return started;
}

/** Kills PgBouncer again and again. Returns how often. */
async function restartAgain(
  pooler: PgBouncer,
  { killsMs, restartEveryMs }: FleetOptions,
): Promise<number> {
  const endMs = performance.now() + killsMs;
  let restarts = 0;
  for (;;) {
    await sleep(Math.min(restartEveryMs, endMs - performance.now()));
    if (performance.now() + restartEveryMs / 2 > endMs) break;
    await pooler.restart({ downMs: DOWN_MS });
    restarts++;
  }
  await sleep(Math.max(0, endMs - performance.now()));
  return restarts;
}

/** The service's backends that are in a transaction once no client asks for anything. */
async function restOf(branch: LocalBranch): Promise<number> {
  let count = 0;
  await pollUntil(async () => {
    const [row] = await branch.asAdmin<{ count: number }>(`
      select count(*)::int as count from pg_stat_activity
      where usename = 'user_service' and datname = current_database() and state <> 'idle'`);
    return (count = row!.count) === 0;
  }, { deadlineMs: REST_MS, intervalMs: 100 });
  return count;
}

/** The largest distance of one of them from their mean, as a share of it. */
export function unfairness(values: readonly number[]): number {
  const mean = sumOf(values) / values.length;
  return mean === 0 ? 0 : Math.max(...values.map((value) => Math.abs(value - mean) / mean));
}

export function fleetReport(result: FleetResult): Measure[] {
  const { tallies, outcomes, calmMs, killsMs, fairness, kills, restarts } = result;
  const served = tallies.map((tally) => tally.served);
  const goodputs = served.map(({ count }) => count * 1_000 / calmMs);
  const p99s = served.map(({ p99 }) => p99);
  const errors = tallies.flatMap((tally, at) =>
    [...tally.errors].map(([name, { count, text }]) => ({ at, name, count, text }))
  );
  const sum = (of: (tally: Tally) => number) => sumOf(tallies.map(of));
  return [
    ["seed", result.seed],
    ["processes", result.processes],
    ["clients", result.clients],
    ["server connections of PgBouncer", result.serverConnections],
    ["calm: requests served a second", sumOf(goodputs), atLeast(1)],
    ["calm: least of a process", Math.min(...goodputs)],
    ["calm: most of a process", Math.max(...goodputs)],
    ["calm: unfairness of goodput", unfairness(goodputs), atMost(fairness.goodput)],
    ["calm: p99 of the process with the lowest (ms)", Math.min(...p99s)],
    ["calm: p99 of the process with the highest (ms)", Math.max(...p99s)],
    ["calm: unfairness of p99", unfairness(p99s), atMost(fairness.p99)],
    ["calm: p50 over all processes (ms)", latenciesOf(served.map(({ p50 }) => p50)).p50],
    ["calm: refused, overloaded", sum(({ refused }) => refused.calm)],
    ["backends terminated", kills, atLeast(1)],
    ["PgBouncer killed", restarts, atLeast(1)],
    ["kills: requests served a second", sum((tally) => tally.servedUnderKills) * 1_000 / killsMs],
    ["kills: refused, with Retry-After", sum(({ refused }) => refused.kills)],
    [
      "kills: writes without a key of unknown outcome",
      sum(({ lost }) => lost),
      // PgBouncer dies with what waits in it: at most a write on each connection of the pools.
      atMost(kills + restarts * result.processes * result.connections),
    ],
    ["requests with a key sent again", sum(({ repeated }) => repeated)],
    ["other error answers", sumOf(errors.map(({ count }) => count)), zero],
    ["writes done", outcomes.done, atLeast(1)],
    ["writes refused", outcomes.failed],
    ["writes with a key that never got its answer", sum(({ unsettled }) => unsettled), zero],
    ["requests that hung", outcomes.hung, zero],
    ...agreementMeasures(result.disagreements),
    ["most backends at once", result.mostBackends, atMost(result.serverConnections)],
    ["backends in a transaction, at rest", result.inTransaction, zero],
    ["backends at the end", result.leftBackends, zero],
    ["processes that ended with an error", result.failedExits, zero],
    ...errors.map(({ at, name, count, text }): Measure => [
      `${count} × ${name} of process ${at}`,
      text,
    ]),
    ...result.failures.map((line): Measure => ["logged", line]),
  ];
}
