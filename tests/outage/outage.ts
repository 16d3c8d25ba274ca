/** A database that is gone for a while, under a steady stream of callers: what they are told, how fast, until when. */
import { branchOf, type Env, runAlone } from "../support/branch.ts";
import { type Call, Callers } from "./callers.ts";
import { type Latencies, latenciesOf } from "./latencies.ts";
import type { Way } from "./ways.ts";

export interface OutageOptions {
  readonly goneMs: number;
  readonly callEveryMs: number;
}

export const FULL: OutageOptions = { goneMs: 10_000, callEveryMs: 5 };

export interface OutageReport {
  readonly way: string;
  /** Who came while the database was gone. */
  readonly calls: number;
  /** From the database's end to the first refusal; nothing if there was none. */
  readonly firstRefusalMs: number | undefined;
  /** Of those who came from the first refusal on. */
  readonly refused: Latencies;
  /** Of those who came while it was gone and were told of something else: they had waited for it. */
  readonly failed: Latencies;
  /** Of those who came while it was gone and were served in the end. */
  readonly servedLate: Latencies;
  /** From the first login that anybody could make again to the first caller who was served. */
  readonly recoveryMs: number;
}

export async function outage(
  way: Way,
  { goneMs, callEveryMs }: OutageOptions,
): Promise<OutageReport> {
  await using gone = await way.start();
  await using branch = branchOf({ env: gone.env, adminEnv: gone.plainEnv });
  // The pool's own answers, one for each call.
  const db = branch.open({ ...way.settings, DATABASE_RETRY_ATTEMPTS: "1" });
  const callers = new Callers(db, callEveryMs);
  await callers.served(100);
  const goneAtMs = performance.now();
  await gone.go();
  await new Promise((resolve) => setTimeout(resolve, goneMs));
  const coming = gone.come();
  await firstLogin(gone.plainEnv);
  const backAtMs = performance.now();
  await callers.served(100);
  await coming;
  await callers.stop();
  return { way: way.name, ...reportOf(callers.calls, { goneAtMs, backAtMs }) };
}

/** Tries until it succeeds; the server refuses until it is up. */
export async function firstLogin(env: Env): Promise<void> {
  for (;;) {
    try {
      await runAlone(env, "select 1");
      return;
    } catch (error) {
      if ((error as Error).name !== "ConnectError") throw error;
    }
  }
}

export function reportOf(
  calls: readonly Call[],
  { goneAtMs, backAtMs }: { goneAtMs: number; backAtMs: number },
): Omit<OutageReport, "way"> {
  const inWindow = calls.filter(({ atMs }) => atMs >= goneAtMs && atMs < backAtMs);
  const refused = inWindow.filter(({ outcome }) => outcome === "PoolOverloadedError");
  const firstRefusedAtMs = Math.min(...refused.map(({ endMs }) => endMs));
  const served = calls.filter(({ outcome, endMs }) => outcome === "served" && endMs >= backAtMs);
  return {
    calls: inWindow.length,
    firstRefusalMs: refused.length === 0 ? undefined : firstRefusedAtMs - goneAtMs,
    refused: timesOf(refused.filter(({ atMs }) => atMs >= firstRefusedAtMs)),
    failed: timesOf(
      inWindow.filter((call) => !refused.includes(call) && call.outcome !== "served"),
    ),
    servedLate: timesOf(inWindow.filter((call) => served.includes(call))),
    recoveryMs: Math.min(...served.map(({ endMs }) => endMs)) - backAtMs,
  };
}

function timesOf(calls: readonly Call[]): Latencies {
  return latenciesOf(calls.map(({ atMs, endMs }) => endMs - atMs));
}
