/** Runs one scenario and compares what it observed with what it expected. */
import { type Database, sql } from "../../db/mod.ts";
import { completesWithin } from "../../db/time/timeout.ts";
import type { DemoEnvironment, Env } from "./environment.ts";
import type { Activity } from "./server_view.ts";

export interface Scenario {
  /** One word, which `--leak` takes. */
  readonly name: string;
  /** What the scenario demonstrates, as one sentence. */
  readonly shows: string;
  /** Settings that replace the service's defaults. */
  readonly settings?: Env;
  run(context: ScenarioContext): Promise<void>;
}

export interface ScenarioContext {
  /** A pool that only this scenario uses. */
  readonly db: Database;
  readonly environment: DemoEnvironment;
  /** Records a claim with the observed and the expected value; they are compared as JSON. */
  check(claim: string, seen: unknown, wanted: unknown): void;
}

export interface Check {
  readonly claim: string;
  readonly seen: unknown;
  readonly wanted: unknown;
  readonly holds: boolean;
}

export interface ScenarioResult {
  readonly name: string;
  readonly shows: string;
  readonly checks: readonly Check[];
  /** `pg_stat_activity` after the scenario, before its pool was closed. */
  readonly activity: Activity;
  /** Connections that PostgreSQL still had after the pool was closed. */
  readonly left: number;
  readonly tookMs: number;
  readonly ok: boolean;
}

const SCENARIO_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;

export interface RunOptions {
  /** Makes the scenario keep a lease. */
  readonly leaks: boolean;
}

/**
 * Runs a scenario. A scenario that throws or times out is a failed check, not a rejection. A pool with a lease left is
 * not closed, because closing it would end the leaked connection.
 */
export async function runScenario(
  scenario: Scenario,
  environment: DemoEnvironment,
  { leaks }: RunOptions,
): Promise<ScenarioResult> {
  const { name, shows, settings } = scenario;
  const sinceMs = performance.now();
  const checks: Check[] = [];
  const check = (claim: string, seen: unknown, wanted: unknown) => {
    const holds = JSON.stringify(seen) === JSON.stringify(wanted);
    checks.push({ claim, seen, wanted, holds });
  };
  const db = environment.open(settings);
  try {
    const run = scenario.run({ db, environment, check });
    const isInTime = await completesWithin(run, SCENARIO_TIMEOUT_MS);
    if (!isInTime) check(`The scenario ends within ${SCENARIO_TIMEOUT_MS} ms`, false, true);
    if (leaks) await leak(db);
  } catch (error) {
    check("The scenario ends without an error", String(error), "none");
  }
  const { leased } = db.stats();
  const activity = await environment.server.activity();
  check("Every connection is given back", leased, 0);
  if (leased === 0) await db.close({ timeoutMs: CLOSE_TIMEOUT_MS });
  const left = await environment.server.connectionsLeft();
  check("No connection is left after the pool is closed", left, 0);
  const tookMs = performance.now() - sinceMs;
  const ok = checks.every(({ holds }) => holds);
  return { name, shows, checks, activity, left, tookMs, ok };
}

/** Opens a session and never ends it, with timeouts so long that the server does not end it before the last count. */
async function leak(db: Database): Promise<void> {
  const timeouts = { idleTransactionTimeoutMs: 600_000, transactionTimeoutMs: 600_000 };
  await db.session({ label: "--leak", ...timeouts }).query(sql`select`);
}
