/** How the demonstration is told: to a terminal as it goes, as plain text, or as one JSON document. */
import type { Check, Step, StepResult } from "./play.ts";

export interface Summary {
  readonly steps: readonly StepResult[];
  /** Names of the steps that were left out, as one before them leaked. */
  readonly notPlayed: readonly string[];
  /** What PostgreSQL counts once all is closed. */
  readonly connectionsLeft: number;
  readonly tookMs: number;
  readonly ok: boolean;
}

export interface Report {
  begun(step: Step): void;
  ended(result: StepResult): void;
  over(summary: Summary): void;
}

type Write = (text: string) => void;

/** Names the step that is under way, and puts its result in that place. */
export function terminalReport(write: Write, { colors }: { colors: boolean }): Report {
  const paint = (code: number, text: string) => colors ? `\x1b[${code}m${text}\x1b[0m` : text;
  const mark: Mark = (ok) => ok ? paint(32, "✓") : paint(31, "✗");
  return {
    begun: ({ name }) => write(`… ${name}`),
    ended: (result) => write(`\r\x1b[K${textOf(result, mark)}\n`),
    over: (summary) => write(`${closingOf(summary)}\n`),
  };
}

export function plainReport(write: Write): Report {
  const mark: Mark = (ok) => ok ? "ok" : "FAILED";
  return {
    begun: () => {},
    ended: (result) => write(`${textOf(result, mark)}\n`),
    over: (summary) => write(`${closingOf(summary)}\n`),
  };
}

export function jsonReport(write: Write): Report {
  return {
    begun: () => {},
    ended: () => {},
    over: (summary) => write(`${JSON.stringify(summary, null, 2)}\n`),
  };
}

type Mark = (ok: boolean) => string;

function textOf({ name, shows, checks, activity, tookMs, ok }: StepResult, mark: Mark): string {
  const states = Object.entries(activity).map(([state, count]) => `${count} ${state}`);
  return [
    `${mark(ok)} ${name}: ${shows} (${Math.round(tookMs)} ms)`,
    ...checks.map((check) => `    ${mark(check.holds)} ${check.claim}${differenceOf(check)}`),
    `    pg_stat_activity: ${states.join(", ") || "no connection"}`,
  ].join("\n");
}

function differenceOf({ holds, seen, wanted }: Check): string {
  return holds ? "" : `: ${JSON.stringify(seen)} in place of ${JSON.stringify(wanted)}`;
}

function closingOf({ steps, notPlayed, connectionsLeft, tookMs }: Summary): string {
  const kept = steps.filter(({ ok }) => ok).length;
  const wanted = steps.length + notPlayed.length;
  return [
    `${kept} of ${wanted} steps did what they say (${(tookMs / 1_000).toFixed(1)} s)`,
    ...steps.filter(({ ok }) => !ok).map(failureOf),
    ...(notPlayed.length > 0 ? [`Not played after that: ${notPlayed.join(", ")}`] : []),
    `${connectionsOf(connectionsLeft)} left open`,
  ].join("\n");
}

function failureOf({ name, left }: StepResult): string {
  return left > 0 ? `The step ${name} leaked ${connectionsOf(left)}` : `The step ${name} failed`;
}

function connectionsOf(count: number): string {
  return `${count} ${count === 1 ? "connection" : "connections"}`;
}
