/**
 * Transfers, unique inserts and keyed effects of many clients over HTTP, while faults strike messages, connections,
 * backends, clients and the server. Afterwards the outcomes that clients were told are compared with the database.
 */
import { PREPARE_MODES, type PrepareMode } from "../../../src/db/mod.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import type { Env } from "../../support/branch.ts";
import { type FaultRelay, startFaultRelay } from "../../support/fault_relay.ts";
import { agreementMeasures } from "../outcome_log.ts";
import { seededRandom } from "../random.ts";
import { sumOf } from "../report.ts";
import type { Scenario } from "../scenario.ts";
import { startStoppableServer, type StoppableServer } from "../stoppable_server.ts";
import { atLeast, atMost, type Measure, zero } from "../verdict.ts";
import { MUTATION } from "./app.ts";
import { Clients } from "./clients.ts";
import { FaultInjector, splitByStops } from "./fault_injector.ts";
import { type HostName, HOSTS, LOADS, startHost } from "./hosts.ts";
import { type Mutation, MUTATIONS } from "./mutations.ts";
import { ACCOUNTS, BALANCE, SCHEMA } from "./units.ts";

export interface ChaosOptions {
  readonly host: HostName;
  /** Chooses the units and the faults. Which of them meet depends on the machine. */
  readonly seed: number;
  readonly forMs: number;
  /** A run that has not tried enough after `forMs`, on a slow machine, goes on until then. */
  readonly atMostMs: number;
  readonly faultEveryMs: number;
  readonly stopEveryMs: number;
  /** A run that has tried less shows too little. */
  readonly leastUnits: number;
  readonly leastFaults: number;
  readonly mutation?: Mutation | undefined;
  /** As `DATABASE_PREPARE`, whose default it has. */
  readonly prepare?: PrepareMode | undefined;
}

const FULL_CHAOS = {
  forMs: 300_000,
  faultEveryMs: 150,
  stopEveryMs: 15_000,
  leastUnits: 20_000,
  leastFaults: 1_000,
};

/** The options of the full run for another time, in which it must try as much per minute. */
export function scaled(forMs: number): Omit<ChaosOptions, "host" | "seed"> {
  const share = forMs / FULL_CHAOS.forMs;
  return {
    ...FULL_CHAOS,
    forMs,
    atMostMs: forMs,
    leastUnits: FULL_CHAOS.leastUnits * share,
    leastFaults: FULL_CHAOS.leastFaults * share,
  };
}

export type ChaosResult = Awaited<ReturnType<typeof chaos>>;

/** The share of the COMMITs lost while the server was running that may stay of unknown outcome. */
const UNKNOWN_SHARE = 0.01;

/** Short timeouts: what is held, frozen or locked ends within seconds, so that a run meets many faults. */
const SETTINGS = {
  DATABASE_POOL_SIZE: "8",
  DATABASE_MAX_OVERFLOW: "8",
  DATABASE_POOL_TIMEOUT: "3",
  DATABASE_POOL_IDLE_TIMEOUT: "3",
  DATABASE_POOL_SHED_TARGET: "0",
  DATABASE_CONNECT_TIMEOUT: "2",
  DATABASE_LOCK_TIMEOUT: "1",
  DATABASE_STATEMENT_TIMEOUT: "1.5",
  // Longer than a COMMIT is held: otherwise no held COMMIT could be done after its client has given up.
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "5",
  DATABASE_TRANSACTION_TIMEOUT: "6",
  DATABASE_RETRY_ATTEMPTS: "6",
};

/** Far longer than the timeouts after which a server ends a connection whose client has gone. */
const GONE_MS = 20_000;

export const chaosScenario: Scenario<ChaosOptions> = {
  flags: ["minutes", "seed", "host", "prepare", "cheat"],
  options: (flags) => ({
    ...scaled(flags.positive("minutes", { otherwise: 5, max: 600 }) * 60_000),
    host: flags.oneOf("host", HOSTS) ?? "deno",
    seed: flags.seed(),
    mutation: flags.oneOf("cheat", MUTATIONS),
    prepare: flags.oneOf("prepare", PREPARE_MODES),
  }),
  run: async (options) => chaosReport(await chaos(options)),
};

export async function chaos(options: ChaosOptions) {
  const { host: name, seed, mutation, prepare = "auto" } = options;
  await using server = await startStoppableServer();
  for (const statement of SCHEMA) await server.query(statement);
  await using relay = await startFaultRelay({ targets: [server.target] });
  const env = {
    ...envOf(name, { server, relay }),
    ...SETTINGS,
    DATABASE_PREPARE: prepare,
    [MUTATION]: mutation ?? "",
  };
  await using host = await startHost(name, env);
  const injector = new FaultInjector({
    ...options,
    relay,
    server,
    random: seededRandom(seed),
    abandon: () => clients.abandon(),
  });
  const startedMs = performance.now();
  const isOver = () => {
    const passedMs = performance.now() - startedMs;
    const isEnough = clients.done >= options.leastUnits && injector.struck >= options.leastFaults;
    return passedMs >= options.forMs && (isEnough || passedMs >= options.atMostMs);
  };
  const clients = new Clients({ seed, url: host.url, load: LOADS[name], isOver });
  await clients.run();
  const seconds = (performance.now() - startedMs) / 1_000;
  await injector.stop();
  const counters = await host.counters();
  await host.rest();
  const leftBackends = await backendsLeft(server);
  const rows = await server.query<{ unit: number }>("select unit from ledger");
  const { log, runs, errors, repeated } = clients;
  const { faults, stops, lostCommits } = injector;
  return {
    ...options,
    seconds,
    outcomes: log.counts(),
    unknown: splitByStops(clients.unknown, stops),
    lostCommits,
    repeated,
    errors,
    runs,
    faults,
    counters,
    disagreements: log.audit(rows.map(({ unit }) => unit)),
    ledger: await ledgerFaults(server),
    leftBackends,
  };
}

function envOf(
  name: HostName,
  { server, relay }: { server: StoppableServer; relay: FaultRelay },
): Env {
  const env = server.envBy(relay.url);
  if (name !== "tcp") return env;
  const url = new URL(env["DATABASE_URL"]!);
  url.port = String(relay.tcpPort);
  // The faults need to read the messages.
  url.search = "sslmode=disable";
  return { ...env, DATABASE_URL: url.href, DATABASE_TRANSPORT: "tcp" };
}

async function backendsLeft(server: StoppableServer): Promise<number> {
  let left = Infinity;
  await pollUntil(async () => {
    const [row] = await server.query<{ count: bigint }>(
      "select count(*) from pg_stat_activity where usename = 'user_service'",
    );
    left = Number(row!.count);
    return left === 0;
  }, { deadlineMs: GONE_MS, intervalMs: 100 });
  return left;
}

/** How the tables disagree with the ledger: the sum of all balances, single balances, unique rows and keys. */
async function ledgerFaults(server: StoppableServer) {
  const [row] = await server.query<{ money: number; accounts: number; rows: number }>(`
    select
      (select sum(balance) from accounts)::int - ${ACCOUNTS * BALANCE} as money,
      (select count(*) from accounts where balance <> ${BALANCE}
        + coalesce((select sum(amount) from ledger where creditor = id), 0)
        - coalesce((select sum(amount) from ledger where debtor = id), 0))::int as accounts,
      (select count(*) from (select unit from inserted) as one
        full join (select unit from ledger where kind = 'insert') as other using (unit)
        where one is null or other is null)::int
      + (select count(*) from (select key from transaction_keys) as one
        full join (select 'effect ' || unit as key from ledger where kind = 'effect') as other
        using (key) where one is null or other is null)::int as rows`);
  return row!;
}

export function chaosReport(result: ChaosResult): Measure[] {
  const { outcomes, unknown, counters, ledger, lostCommits } = result;
  const units = sumOf(Object.values(outcomes));
  const runs = [...result.runs].toSorted(([one], [other]) => one - other);
  const faults = [...result.faults].toSorted(([, one], [, other]) => other - one);
  return [
    ["host", result.host],
    ["seed", result.seed],
    ["mutation", result.mutation ?? "none"],
    ["prepared statements", result.prepare ?? "auto"],
    ["units", units],
    ["units a second", units / result.seconds],
    ["units done", outcomes.done, atLeast(result.leastUnits)],
    ["units failed", outcomes.failed],
    ["units of unknown outcome", outcomes.unknown],
    ["units abandoned by their client", outcomes.abandoned],
    ["units without an answer", outcomes.unanswered, zero],
    ["units that hung", outcomes.hung, zero],
    ["effects requested again", result.repeated],
    ["answers × runs", runs.map(([count, times]) => `${times} × ${count}`).join(", ")],
    ["first flights replayed", counters.replayed],
    ["COMMITs lost by faults, server running", lostCommits],
    ["unknown answers, server running", unknown.calm, atMost(UNKNOWN_SHARE * lostCommits)],
    ["unknown answers, server stopped", unknown.inStops],
    ["lost COMMITs resolved", counters.resolved],
    ["lost COMMITs of unknown outcome", counters.unknown],
    ...agreementMeasures(result.disagreements),
    ["money made, or destroyed", ledger.money, zero],
    ["accounts that differ from the ledger", ledger.accounts, zero],
    ["rows and keys that differ from the ledger", ledger.rows, zero],
    ["connections left", result.leftBackends, zero],
    ["faults", sumOf(result.faults.values()), atLeast(result.leastFaults)],
    ...faults.map(([name, count]) => [`  ${name}`, count] as const),
    ...result.errors.measures(),
  ];
}
