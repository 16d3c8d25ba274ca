/**
 * A database that is unreachable for a while under a steady stream of calls. `outage` makes it so in every way, and
 * looks at the pool's own answers: how soon calls are refused, and served again. `storm` stops the server alone, and
 * looks at calls that are retried: how much reaches the database.
 */
import { sql } from "../../src/db/mod.ts";
import { branchOf, type Env } from "../support/branch.ts";
import { type FaultRelay, pass, startFaultRelay } from "../support/fault_relay.ts";
import { type Call, Callers, firstLogin } from "./callers.ts";
import { OUTAGE_KINDS, type OutageKind, SERVER_STOPPED } from "./outage_kinds.ts";
import { type Latencies, latenciesOf } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { startStoppableServer } from "./stoppable_server.ts";
import { atLeast, atMost, below, type Measure } from "./verdict.ts";

export interface OutageOptions {
  readonly goneMs: number;
  /** Time from one call to the next, however long each takes. */
  readonly callEveryMs: number;
}

type OutageRun = Awaited<ReturnType<typeof run>>;

const FULL_OUTAGE: OutageOptions = { goneMs: 10_000, callEveryMs: 5 };

/** Refusing takes microseconds; this leaves room for a machine that is busy with other things. */
const REFUSAL_MS = 5;
const RECOVERY_MS = 1_000;
/** The connect timeout of a second, and as much again. */
const FIRST_REFUSAL_MS = 2_000;
/**
 * In a storm the first calls to fail use all of their attempts, with at most 50, 100 and 200 ms between them; this
 * leaves room for a machine that is busy with other things.
 */
const STORM_FAILURE_MS = 1_000;
/** Connects and statements for each call of a storm. */
const STORM_AMPLIFICATION = 1.3;

export const outageScenario: Scenario<OutageOptions> = {
  flags: [],
  options: () => FULL_OUTAGE,
  async run(options, onProgress) {
    const report: Measure[] = [];
    for (const kind of OUTAGE_KINDS) {
      onProgress(`${kind.name} …`);
      const env = { ...kind.settings, DATABASE_RETRY_ATTEMPTS: "1" };
      report.push(...outageReport(kind.name, outageResultOf(await run(kind, env, options))));
    }
    return report;
  },
};

export const stormScenario: Scenario<OutageOptions> = {
  flags: [],
  options: () => FULL_OUTAGE,
  run: async (options) => stormReport(stormResultOf(await run(SERVER_STOPPED, {}, options))),
};

async function run(
  kind: OutageKind,
  env: Env,
  { goneMs, callEveryMs }: OutageOptions,
) {
  await using server = await startStoppableServer();
  await using relay = await startFaultRelay({ targets: [server.target] });
  const { plainEnv } = server;
  await using branch = branchOf({ env: server.envBy(relay.url), adminEnv: plainEnv });
  const callers = new Callers(branch.open(env), callEveryMs);
  await callers.served(100);
  const sent = countFromNow(relay);
  const goneAtMs = performance.now();
  const end = await kind.begin({ server, relay });
  await new Promise((resolve) => setTimeout(resolve, goneMs));
  const ending = end();
  await firstLogin(plainEnv);
  const backAtMs = performance.now();
  // The calls of a second more.
  await callers.served(Math.ceil(1_000 / callEveryMs));
  await ending;
  await callers.stop();
  return { calls: callers.calls, goneAtMs, backAtMs, ...sent() };
}

/** Counts connects, and the statement of the callers. */
function countFromNow(relay: FaultRelay) {
  const before = relay.connections.length;
  const { text } = sql`select 1`;
  const where = (message: { statement: string }) => message.statement === text;
  const seen = relay.when({ kind: "Bind", where, times: Infinity }, pass());
  return () => ({ connects: relay.connections.length - before, statements: seen.strikes });
}

export type OutageResult = ReturnType<typeof outageResultOf>;

export function outageResultOf(seen: OutageRun) {
  const { goneAtMs, backAtMs } = seen;
  const during = seen.calls.filter(({ atMs }) => atMs >= goneAtMs && atMs < backAtMs);
  const refused = during.filter(({ outcome }) => outcome === "PoolOverloadedError");
  const others = during.filter((call) => !refused.includes(call));
  const firstAtMs = Math.min(...refused.map(({ endMs }) => endMs));
  // These had waited for the database, as those that failed had.
  const late = others.filter(({ outcome, endMs }) => outcome === "served" && endMs >= backAtMs);
  return {
    calls: during.length,
    // `Infinity` if there was none.
    firstRefusalMs: firstAtMs - goneAtMs,
    refused: timesOf(refused.filter(({ atMs }) => atMs >= firstAtMs)),
    failed: timesOf(others.filter(({ outcome }) => outcome !== "served")),
    servedLate: timesOf(late),
    recoveryMs: recoveryMsOf(seen),
  };
}

export type StormResult = ReturnType<typeof stormResultOf>;

function stormResultOf(seen: OutageRun) {
  const { goneAtMs, backAtMs, connects, statements } = seen;
  const calls = seen.calls.filter(({ atMs }) => atMs >= goneAtMs);
  const failed = calls.filter(({ atMs, outcome }) => atMs < backAtMs && outcome !== "served");
  const recoveryMs = recoveryMsOf(seen);
  return { calls: calls.length, connects, statements, failed: timesOf(failed), recoveryMs };
}

function timesOf(calls: readonly Call[]): Latencies {
  return latenciesOf(calls.map(({ atMs, endMs }) => endMs - atMs));
}

function recoveryMsOf({ calls, backAtMs }: OutageRun): number {
  const served = calls.filter(({ outcome, endMs }) => outcome === "served" && endMs >= backAtMs);
  return Math.min(...served.map(({ endMs }) => endMs)) - backAtMs;
}

export function outageReport(kind: string, result: OutageResult): Measure[] {
  const { refused, failed, servedLate } = result;
  return [
    [`${kind}: calls`, result.calls],
    [`${kind}: first refusal, ms`, result.firstRefusalMs, atMost(FIRST_REFUSAL_MS)],
    [`${kind}: refused`, refused.count],
    [`${kind}: refused, ms at p50`, refused.p50],
    [`${kind}: refused, ms at p99`, refused.p99, below(REFUSAL_MS)],
    [`${kind}: refused, ms at most`, refused.max],
    [`${kind}: failed`, failed.count],
    [`${kind}: failed, ms at most`, failed.max],
    [`${kind}: served late`, servedLate.count],
    [`${kind}: served late, ms at most`, servedLate.max],
    [`${kind}: recovery, ms`, result.recoveryMs, below(RECOVERY_MS)],
  ];
}

export function stormReport(result: StormResult): Measure[] {
  const { calls, connects, statements, failed } = result;
  return [
    ["calls", calls],
    ["connects", connects],
    ["statements sent", statements],
    ["sent for each call", (connects + statements) / calls, below(STORM_AMPLIFICATION)],
    ["failed", failed.count, atLeast(1)],
    ["failed, ms at p50", failed.p50, below(REFUSAL_MS)],
    ["failed, ms at p99", failed.p99, below(STORM_FAILURE_MS)],
    ["failed, ms at most", failed.max],
    ["recovery, ms", result.recoveryMs, below(RECOVERY_MS)],
  ];
}
