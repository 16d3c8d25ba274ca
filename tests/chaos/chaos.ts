/**
 * Transfers, unique inserts and keyed effects from many clients, while all goes wrong that can: on the way, to
 * backends and to the server. Afterwards what clients were told is held against what is in the database.
 */
import { pollUntil } from "../../src/dev/poll.ts";
import { seededRandom } from "../soak/random.ts";
import { startFaultRelay } from "../support/fault_relay.ts";
import { CHEAT } from "./app.ts";
import { audit, type BookFaults, split, TOLD, type Told } from "./book.ts";
import type { Cheat } from "./cheats.ts";
import { Clients } from "./clients.ts";
import type { Counters } from "./counters.ts";
import { type CrashingServer, startCrashingServer } from "./crashing_server.ts";
import { type HostName, LOADS, startHost } from "./hosts.ts";
import { Mischief } from "./mischief.ts";
import { ACCOUNTS, BALANCE } from "./units.ts";

export interface ChaosOptions {
  readonly host: HostName;
  /** Of the units and of the faults; when they meet is the machine's own affair. */
  readonly seed: number;
  readonly forMs: number;
  /** On a slow machine it may take so long until enough has been tried. */
  readonly atMostMs: number;
  readonly faultEveryMs: number;
  readonly stopEveryMs: number;
  /** What a run must have tried to count. */
  readonly leastUnits: number;
  readonly leastFaults: number;
  readonly cheat?: Cheat | undefined;
}

const FULL: Omit<ChaosOptions, "host" | "seed"> = {
  forMs: 300_000,
  atMostMs: 300_000,
  faultEveryMs: 150,
  stopEveryMs: 15_000,
  leastUnits: 20_000,
  leastFaults: 1_000,
};

/** The full run, for another time, and with as much to be tried in it. */
export function scaled(forMs: number): Omit<ChaosOptions, "host" | "seed"> {
  const share = forMs / FULL.forMs;
  return {
    ...FULL,
    forMs,
    atMostMs: forMs,
    leastUnits: FULL.leastUnits * share,
    leastFaults: FULL.leastFaults * share,
  };
}

export interface ChaosReport extends ChaosOptions {
  readonly seconds: number;
  readonly told: Readonly<Record<Told, number>>;
  /** Answers, of which effects may have more than one. */
  readonly unknown: { readonly calm: number; readonly inStops: number };
  readonly lostCommits: number;
  readonly askedAgain: number;
  /** Answers that were not `done`, with the message of the first. */
  readonly errors: Clients["errors"];
  readonly runs: ReadonlyMap<number, number>;
  readonly faults: ReadonlyMap<string, number>;
  readonly counters: Counters;
  readonly book: BookFaults;
  readonly ledger: LedgerFaults;
  /** Connections that were there long after the last unit. */
  readonly leftBackends: number;
}

/** How the database disagrees with its own ledger. */
export interface LedgerFaults {
  /** What all accounts hold, above what they were made with. */
  readonly money: number;
  /** Accounts that do not hold what the ledger says. */
  readonly accounts: number;
  /** Unique rows and keys without a row in the ledger, or the other way round. */
  readonly rows: number;
}

/** Short, so that a run gets through many faults: what is held, frozen or locked passes within seconds. */
const SETTINGS = {
  DATABASE_POOL_SIZE: "8",
  DATABASE_MAX_OVERFLOW: "8",
  DATABASE_POOL_TIMEOUT: "3",
  DATABASE_POOL_IDLE_TIMEOUT: "3",
  DATABASE_POOL_SHED_TARGET: "0",
  DATABASE_CONNECT_TIMEOUT: "2",
  DATABASE_LOCK_TIMEOUT: "1",
  DATABASE_STATEMENT_TIMEOUT: "1.5",
  // Above the time for which a COMMIT is held: only so can it be done behind its client's back.
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "5",
  DATABASE_TRANSACTION_TIMEOUT: "6",
  DATABASE_RETRY_ATTEMPTS: "6",
};

/** Far above the timeouts after which a server ends what has lost its client. */
const GONE_MS = 20_000;

export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { host: name, seed, cheat } = options;
  await using server = await startCrashingServer();
  await using relay = await startFaultRelay({
    targets: [{ hostname: "127.0.0.1", port: server.port }],
  });
  const env = { ...server.envBy(relay.url), ...SETTINGS, [CHEAT]: cheat ?? "" };
  await using host = await startHost(name, env);
  const mischief = new Mischief({
    ...options,
    relay,
    server,
    random: seededRandom(seed),
    abandon: () => clients.abandon(),
  });
  const startedMs = performance.now();
  const isOver = () => {
    const passedMs = performance.now() - startedMs;
    const isEnough = clients.done >= options.leastUnits && mischief.struck >= options.leastFaults;
    return passedMs >= options.forMs && (isEnough || passedMs >= options.atMostMs);
  };
  const clients = new Clients({ seed, url: host.url, load: LOADS[name], isOver });
  await clients.run();
  const seconds = (performance.now() - startedMs) / 1_000;
  await mischief.stop();
  const counters = await host.counters();
  await host.rest();
  const leftBackends = await backendsLeft(server);
  const rows = await server.ask<{ unit: number }>("select unit from ledger");
  const { entries, runs, errors, askedAgain } = clients;
  const { faults, stops, lostCommits } = mischief;
  const toldAs = (told: Told) => entries.filter((entry) => entry.told === told).length;
  return {
    ...options,
    seconds,
    told: Object.fromEntries(TOLD.map((told) => [told, toldAs(told)])) as Record<Told, number>,
    unknown: split(clients.unknown, stops),
    lostCommits,
    askedAgain,
    errors,
    runs,
    faults,
    counters,
    book: audit(entries, rows.map(({ unit }) => unit)),
    ledger: await ledgerFaults(server),
    leftBackends,
  };
}

async function backendsLeft(server: CrashingServer): Promise<number> {
  let left = Infinity;
  await pollUntil(async () => {
    const [row] = await server.ask<{ count: bigint }>(
      "select count(*) from pg_stat_activity where usename = 'user_service'",
    );
    left = Number(row!.count);
    return left === 0;
  }, { deadlineMs: GONE_MS, intervalMs: 100 });
  return left;
}

async function ledgerFaults(server: CrashingServer): Promise<LedgerFaults> {
  const [row] = await server.ask<{ money: number; accounts: number; rows: number }>(`
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
