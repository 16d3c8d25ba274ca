/** A database that is away under a steady stream of units that are retried: what reaches it of them, and when. */
import { sql } from "../../src/db/mod.ts";
import { type Call, Callers } from "../outage/callers.ts";
import { type Latencies, latenciesOf } from "../outage/latencies.ts";
import { firstLogin } from "../outage/outage.ts";
import { branchOf } from "../support/branch.ts";
import { type FaultRelay, pass, startFaultRelay } from "../support/fault_relay.ts";
import { startCrashingServer } from "./crashing_server.ts";

export interface StormOptions {
  readonly goneMs: number;
  readonly callEveryMs: number;
}

export const FULL_STORM: StormOptions = { goneMs: 10_000, callEveryMs: 5 };

export interface StormReport {
  /** Who came from the end of the database to the second after its return. */
  readonly requests: number;
  /** Connects that were tried meanwhile, and statements of theirs that were sent. */
  readonly connects: number;
  readonly statements: number;
  /** Of those who came while it was gone, and were told so. */
  readonly failed: Latencies;
  /** From the first login that anybody could make again to the first caller who was served. */
  readonly recoveryMs: number;
}

/** What is sent beyond one for each request. */
export const STORM_AMPLIFICATION = 1.3;
/** Most are refused, in microseconds. */
export const STORM_REFUSAL_MS = 5;
/**
 * The first to fail go through all of their attempts, with 50, 100 and 200 ms between them at most; this leaves room
 * for a machine that does other things besides.
 */
export const STORM_FAILURE_MS = 1_000;
export const STORM_RECOVERY_MS = 1_000;

export async function storm({ goneMs, callEveryMs }: StormOptions): Promise<StormReport> {
  await using server = await startCrashingServer();
  const targets = [{ hostname: "127.0.0.1", port: server.port }];
  await using relay = await startFaultRelay({ targets });
  const env = server.envBy(relay.url);
  await using branch = branchOf({ env, adminEnv: env });
  const callers = new Callers(branch.open(), callEveryMs);
  await callers.served(100);
  const sent = countFrom(relay);
  const goneAtMs = performance.now();
  await server.stop("fast");
  await new Promise((resolve) => setTimeout(resolve, goneMs));
  const coming = server.start();
  await firstLogin(server.plainEnv);
  const backAtMs = performance.now();
  await callers.served(Math.ceil(STORM_RECOVERY_MS / callEveryMs));
  await coming;
  await callers.stop();
  const during = callers.calls.filter(({ atMs }) => atMs >= goneAtMs);
  return { requests: during.length, ...sent(), ...reportOf(during, { backAtMs }) };
}

/** Counts what is sent from now on; the statement is the callers' own. */
function countFrom(relay: FaultRelay): () => { connects: number; statements: number } {
  const before = relay.connections.length;
  const { text } = sql`select 1`;
  const seen = relay.when({
    kind: "Parse",
    where: (message) => message.text === text,
    times: Infinity,
  }, pass());
  return () => ({ connects: relay.connections.length - before, statements: seen.strikes });
}

function reportOf(
  calls: readonly Call[],
  { backAtMs }: { backAtMs: number },
): Pick<StormReport, "failed" | "recoveryMs"> {
  const failed = calls.filter(({ atMs, outcome }) => atMs < backAtMs && outcome !== "served");
  const served = calls.filter(({ endMs, outcome }) => endMs >= backAtMs && outcome === "served");
  return {
    failed: latenciesOf(failed.map(({ atMs, endMs }) => endMs - atMs)),
    recoveryMs: Math.min(...served.map(({ endMs }) => endMs)) - backAtMs,
  };
}

/** What is wrong with a run, a sentence each; nothing if it is as it must be. */
export function stormFaults(report: StormReport): string[] {
  const { requests, connects, statements, failed, recoveryMs } = report;
  const sent = connects + statements;
  const rules: readonly (readonly [isBroken: boolean, what: string])[] = [
    [failed.count === 0, "Nobody was refused: nothing was tried"],
    [
      sent >= STORM_AMPLIFICATION * requests,
      `${connects} connects and ${statements} statements were sent for ${requests} requests`,
    ],
    [
      failed.p50 >= STORM_REFUSAL_MS,
      `Half of the failures took ${failed.p50.toFixed(1)} ms or more`,
    ],
    [failed.p99 >= STORM_FAILURE_MS, `Failures took ${failed.p99.toFixed(0)} ms at p99`],
    [recoveryMs >= STORM_RECOVERY_MS, `Nobody was served for ${recoveryMs.toFixed(0)} ms`],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, what]) => what);
}

export function stormRows(report: StormReport): readonly (readonly [string, string])[] {
  const { requests, connects, statements, failed, recoveryMs } = report;
  return [
    ["requests", `${requests}`],
    ["connects, statements sent", `${connects}, ${statements}`],
    ["sent per request", ((connects + statements) / requests).toFixed(2)],
    [
      "failed: n, p50, p99, max",
      `${failed.count}, ${
        [failed.p50, failed.p99, failed.max].map((ms) => ms.toFixed(1)).join(", ")
      } ms`,
    ],
    ["recovery", `${recoveryMs.toFixed(0)} ms`],
  ];
}
