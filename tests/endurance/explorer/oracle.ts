/** Runs a plan, and checks what must hold in every run, whatever struck it. */
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  DatabaseLayerError,
} from "../../../src/db/mod.ts";
import { WorkError } from "./programs.ts";
import { Run, type RunPlan, type UnitRun } from "./run.ts";
import type { StrikeEvent } from "./strikes.ts";
import { textOf } from "./unit.ts";

export interface RunResult {
  readonly violations: readonly string[];
  /** How many points it passed. */
  readonly points: number;
  readonly struck: readonly StrikeEvent[];
  /** What its units were told. */
  readonly told: readonly ToldKind[];
  /** Lost COMMITs whose outcome was found out. */
  readonly resolved: number;
}

export type ToldKind =
  | "success"
  | "failure"
  | "unknown outcome"
  | "committed, rows lost"
  | "nothing";

/** Longer than any chain of the layer's timeouts. */
const SETTLED_WITHIN_MS = 200_000;
/** Longer than any event lasts, and than the server's timeouts for what clients have left there. */
const QUIET_MS = 45_000;

/** After an abort: for the answer to a cancel request, for a rollback, and for a goodbye that is not answered. */
const ANSWERED_WITHIN_MS = 4_000;

/** Events that cost one connection and leave the server as it was. */
const LOSSES: readonly StrikeEvent[] = ["cut", "ghost", "kill", "freeze"];

const rejections: string[] = [];

/** Collects unhandled rejections until it is disposed of. */
export function watchRejections(): Disposable {
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    rejections.push(String(event.reason));
  };
  globalThis.addEventListener("unhandledrejection", note);
  return { [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", note) };
}

export async function runOnce(plan: RunPlan): Promise<RunResult> {
  const run = new Run(plan);
  const { timeline } = run;
  await run.prepare();
  timeline.isCounting = true;
  run.start();
  await mustSettle(run);
  await timeline.pass(QUIET_MS);
  for (const link of run.links) link.thaw();
  await timeline.pass(1_000);
  checkRest(run);
  if (!run.isClosed) {
    timeline.isCounting = false;
    await run.probe();
    timeline.isCounting = true;
    run.closePool({ timeoutMs: 1_000 });
  }
  await mustSettle(run);
  await timeline.pass(QUIET_MS);
  checkEnd(run);
  checkUnits(run);
  for (const reason of rejections.splice(0)) {
    timeline.violate(`a promise rejected unhandled: ${reason}`);
  }
  return {
    violations: timeline.violations,
    points: timeline.points,
    struck: run.struck,
    told: run.units.map(kindOf),
    resolved: run.resolved,
  };
}

async function mustSettle(run: Run): Promise<void> {
  const isOver = () => run.pending === 0;
  if (await run.timeline.runUntil(isOver, { withinMs: SETTLED_WITHIN_MS })) return;
  const waiting = run.units.filter(({ unit }) => unit.told === undefined);
  const names = waiting.map(({ unit }) => unit.caller).join(", ");
  run.timeline.violate(`${run.pending} promises are still pending; units: ${names || "none"}`);
  run.pending = 0;
}

/** All units have ended. */
function checkRest({ pool, timeline }: Run): void {
  const { leased, opening, closing, waiting } = pool.stats();
  if (leased + opening + closing + waiting === 0) return;
  timeline.violate(
    `the pool is not at rest: ${JSON.stringify({ leased, opening, closing, waiting })}`,
  );
}

/** The pool has closed. */
function checkEnd({ pool, timeline, links }: Run): void {
  const { leased, opening, closing, waiting, idle } = pool.stats();
  if (leased + opening + closing + waiting + idle > 0) {
    timeline.violate(
      `the pool is not empty: ${JSON.stringify({ leased, opening, closing, waiting, idle })}`,
    );
  }
  if (timeline.layerAlarms > 0) timeline.violate(`${timeline.layerAlarms} timers are left`);
  for (const { name, connection } of links) {
    if (connection.state !== "closed") timeline.violate(`${name} is left open`);
  }
}

/** What callers were told must agree with the rows that are there. */
function checkUnits(run: Run): void {
  const { timeline, server } = run;
  for (const each of run.units) checkTold(run, each);
  const names = new Set(run.units.map(({ unit }) => unit.name));
  for (const name of names) {
    const asked = run.units.filter(({ unit }) => unit.name === name);
    const rows = server.rows.filter(({ unit }) => unit === name).map((row) => row.name).toSorted();
    const isThere = rows.join() === asked[0]!.plan.keeps.toSorted().join();
    const kinds = asked.map(kindOf);
    const isKnown = kinds.some((kind) => kind === "success" || kind === "committed, rows lost");
    const mayBe = isKnown || kinds.includes("unknown outcome");
    const mayBeNot = !isKnown;
    if (isThere && mayBe || rows.length === 0 && mayBeNot) continue;
    timeline.violate(
      `${name} was told ${asked.map(({ unit }) => textOf(unit)).join(" and ")}; ` +
        `its rows are ${rows.length === 0 ? "missing" : rows.join()}`,
    );
  }
}

function checkTold(run: Run, each: UnitRun): void {
  const { timeline, struck } = run;
  const { plan, unit } = each;
  const { told } = unit;
  if (told === undefined) return timeline.violate(`${unit.caller} was told nothing`);
  const kind = kindOf(each);
  if ("value" in told) {
    if (plan.throws !== undefined) timeline.violate(`${unit.caller} succeeded`);
    if (told.value !== `the value of ${unit.name}`) {
      timeline.violate(`${unit.caller} was given a wrong value: ${told.value}`);
    }
  } else if (!(told.error instanceof DatabaseLayerError || told.error instanceof WorkError)) {
    timeline.violate(`${unit.caller} was told an error of another class: ${textOf(unit)}`);
  } else if (struck.length === 0 && told.error.name !== plan.throws) {
    timeline.violate(`${unit.caller} failed though nothing struck: ${textOf(unit)}`);
  }
  if (unit.waitedAfterAbortMs > ANSWERED_WITHIN_MS) {
    timeline.violate(`${unit.caller} had to wait ${unit.waitedAfterAbortMs} ms after its abort`);
  }
  checkMended(run, each);
  const isKnown = kind === "success" || kind === "committed, rows lost";
  const hooks = plan.hook && isKnown ? 1 : 0;
  if (unit.hooks !== hooks) {
    timeline.violate(`${unit.caller} had its hook called ${unit.hooks} times: ${textOf(unit)}`);
  }
}

/** The loss of one connection costs no unit: retry repeats the work, and the outcome of a lost COMMIT is found out. */
function checkMended({ timeline, struck }: Run, { plan, unit }: UnitRun): void {
  const { told } = unit;
  if (told === undefined || "value" in told) return;
  const { error } = told;
  const isUnknown = error instanceof CommitOutcomeUnknownError;
  // Of a unit with a key, an earlier attempt may be the one in doubt.
  if (isUnknown && plan.key === undefined && (unit.commitLink?.hasEndedBetweenFlights ?? true)) {
    timeline.violate(`${unit.caller} was told an unknown outcome, though its COMMIT never ran`);
  }
  const [event] = struck;
  if (struck.length !== 1 || !LOSSES.includes(event!) || plan.once) return;
  const mayBe = plan.key === undefined &&
    (isUnknown && error.xid === undefined || error instanceof CommitRowsLostError);
  if (mayBe || (error as Error).name === plan.throws) return;
  // A unit whose timeout has passed is not repeated.
  if (event === "freeze" && !isUnknown) return;
  timeline.violate(`one lost connection was not mended: ${unit.caller} was told ${textOf(unit)}`);
}

function kindOf({ unit: { told } }: UnitRun): ToldKind {
  if (told === undefined) return "nothing";
  if ("value" in told) return "success";
  if (told.error instanceof CommitOutcomeUnknownError) return "unknown outcome";
  return told.error instanceof CommitRowsLostError ? "committed, rows lost" : "failure";
}
