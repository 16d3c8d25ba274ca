/** The goals of the session. They are printed, not enforced, since a busy machine may miss them. */
import type { Unit } from "./session_contender.ts";
import type { UnitFigures } from "./session.ts";
import { spreadOf } from "./spread.ts";

export interface SessionGoal {
  readonly unit: Unit;
  readonly latencyMs: number;
  readonly ours: string;
  readonly theirs: string;
  /** With a latency: our time as a share of theirs. Without: our units per second as a multiple of theirs. */
  readonly goal: { readonly timeAtMost: number } | { readonly rateAtLeast: number };
}

const OURS_READ = "user-service: commit([select])";
const OURS_WRITE = "user-service: commit([insert])";
const OURS_WRITE_THEN_COMMIT = "user-service: query(insert), commit()";
const AUTOCOMMIT = "Neon Pool: one query, no transaction";
const NEON_READ = "Neon Pool: BEGIN, SELECT, COMMIT";
const NEON_WRITE = "Neon Pool: BEGIN, INSERT, COMMIT";

export const SESSION_GOALS: readonly SessionGoal[] = [
  { ...far("read"), ours: OURS_READ, theirs: AUTOCOMMIT, goal: { timeAtMost: 1.05 } },
  { ...far("write"), ours: OURS_WRITE, theirs: NEON_WRITE, goal: { timeAtMost: 0.4 } },
  { ...far("write"), ours: OURS_WRITE_THEN_COMMIT, theirs: NEON_WRITE, goal: { timeAtMost: 0.7 } },
  { ...near("read"), ours: OURS_READ, theirs: AUTOCOMMIT, goal: { rateAtLeast: 0.85 } },
  { ...near("read"), ours: OURS_READ, theirs: NEON_READ, goal: { rateAtLeast: 2 } },
  { ...near("write"), ours: OURS_WRITE, theirs: NEON_WRITE, goal: { rateAtLeast: 1.5 } },
];

function far(unit: Unit) {
  return { unit, latencyMs: 20 };
}

function near(unit: Unit) {
  return { unit, latencyMs: 0 };
}

/** One line: the goal, the figure and whether it was met. */
export function verdictOn(goal: SessionGoal, figures: readonly UnitFigures[]): string {
  const row = figures.find(({ unit, latencyMs }) =>
    unit === goal.unit && latencyMs === goal.latencyMs
  );
  const [ours, theirs] = [goal.ours, goal.theirs].map((name) =>
    row?.ways.find((way) => way.name === name)
  );
  if (ours === undefined || theirs === undefined) {
    throw new Error(`Cannot judge a goal as "${goal.ours}" or its rival was not measured`);
  }
  const times = spreadOf(ours.rounds.map((ms, round) => ms / theirs.rounds[round]!)).median;
  const isTime = "timeAtMost" in goal.goal;
  const [figure, bound] = "timeAtMost" in goal.goal
    ? [times, goal.goal.timeAtMost]
    : [1 / times, goal.goal.rateAtLeast];
  const isMet = isTime ? figure <= bound : figure >= bound;
  return `${isMet ? "met   " : "MISSED"} ${figure.toFixed(2)} ${
    isTime ? "of the time" : "times as many units/s"
  }, goal ${isTime ? "at most" : "at least"} ${bound}: ${goal.unit} at ${goal.latencyMs} ms, ` +
    `"${goal.ours}" to "${goal.theirs}"`;
}
