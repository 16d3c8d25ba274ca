/** Plays one step, and holds what was seen against what was said. */
import { type Database, sql } from "../../db/mod.ts";
import { completesWithin } from "../../db/time/timeout.ts";
import type { Activity } from "./server_view.ts";
import type { Env, World } from "./world.ts";

export interface Step {
  /** One word, for `--leak`. */
  readonly name: string;
  /** What there is to see, in a sentence. */
  readonly shows: string;
  /** In place of the service's defaults. */
  readonly settings?: Env;
  run(stage: Stage): Promise<void>;
}

/** What a step has to work with. */
export interface Stage {
  /** Of this step alone. */
  readonly db: Database;
  readonly world: World;
  /** Says what is to be seen, and what was. */
  check(claim: string, seen: unknown, wanted: unknown): void;
}

export interface Check {
  readonly claim: string;
  readonly seen: unknown;
  readonly wanted: unknown;
  readonly holds: boolean;
}

export interface StepResult {
  readonly name: string;
  readonly shows: string;
  readonly checks: readonly Check[];
  /** What PostgreSQL said after the step, before its pool was closed. */
  readonly activity: Activity;
  /** Connections that PostgreSQL still had after it. */
  readonly left: number;
  readonly tookMs: number;
  readonly ok: boolean;
}

const STEP_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;

export interface PlayOptions {
  /** Has the step keep a lease. */
  readonly leaks: boolean;
}

/** Never rejects for what the step does. A pool with a lease left is not closed, as that would hide the leak. */
export async function play(
  step: Step,
  world: World,
  { leaks }: PlayOptions,
): Promise<StepResult> {
  const { name, shows, settings } = step;
  const sinceMs = performance.now();
  const checks: Check[] = [];
  const check = (claim: string, seen: unknown, wanted: unknown) => {
    const holds = JSON.stringify(seen) === JSON.stringify(wanted);
    checks.push({ claim, seen, wanted, holds });
  };
  const db = world.open(settings);
  try {
    const inTime = await completesWithin(step.run({ db, world, check }), STEP_TIMEOUT_MS);
    if (!inTime) check(`It ends within ${STEP_TIMEOUT_MS} ms`, false, true);
    if (leaks) await leak(db);
  } catch (error) {
    check("It ends without an error", String(error), "none");
  }
  const { leased } = db.stats();
  const activity = await world.server.activity();
  check("Every connection is given back", leased, 0);
  if (leased === 0) await db.close({ timeoutMs: CLOSE_TIMEOUT_MS });
  const left = await world.server.connectionsLeft();
  check("None is left once the pool is closed", left, 0);
  const tookMs = performance.now() - sinceMs;
  const ok = checks.every(({ holds }) => holds);
  return { name, shows, checks, activity, left, tookMs, ok };
}

/** A session that nobody ends; the server would end it itself before the last count. */
async function leak(db: Database): Promise<void> {
  const timeouts = { idleTransactionTimeoutMs: 600_000, transactionTimeoutMs: 600_000 };
  await db.session({ label: "--leak", ...timeouts }).query(sql`select`);
}
