/** Prints the results: to a terminal while the demonstration runs, as plain text, or as one JSON document. */
import type { Check, Scenario, ScenarioResult } from "./runner.ts";

export interface Summary {
  readonly scenarios: readonly ScenarioResult[];
  /** Names of the scenarios that were not run, because an earlier one leaked. */
  readonly notRun: readonly string[];
  /** Connections that PostgreSQL counts after every pool was closed. */
  readonly connectionsLeft: number;
  readonly tookMs: number;
  readonly ok: boolean;
}

export interface Report {
  onStart(scenario: Scenario): void;
  onResult(result: ScenarioResult): void;
  onEnd(summary: Summary): void;
}

type Write = (text: string) => void;

/** Shows the name of the scenario that is running, then replaces it by its result. */
export function terminalReport(write: Write, { colors }: { colors: boolean }): Report {
  const paint = (code: number, text: string) => colors ? `\x1b[${code}m${text}\x1b[0m` : text;
  const mark: Mark = (ok) => ok ? paint(32, "✓") : paint(31, "✗");
  return {
    onStart: ({ name }) => write(`… ${name}`),
    onResult: (result) => write(`\r\x1b[K${textOf(result, mark)}\n`),
    onEnd: (summary) => write(`${closingOf(summary)}\n`),
  };
}

export function plainReport(write: Write): Report {
  const mark: Mark = (ok) => ok ? "ok" : "FAILED";
  return {
    onStart: () => {},
    onResult: (result) => write(`${textOf(result, mark)}\n`),
    onEnd: (summary) => write(`${closingOf(summary)}\n`),
  };
}

export function jsonReport(write: Write): Report {
  return {
    onStart: () => {},
    onResult: () => {},
    onEnd: (summary) => write(`${JSON.stringify(summary, null, 2)}\n`),
  };
}

type Mark = (ok: boolean) => string;

function textOf(
  { name, shows, checks, activity, tookMs, ok }: ScenarioResult,
  mark: Mark,
): string {
  const states = Object.entries(activity).map(([state, count]) => `${count} ${state}`);
  return [
    `${mark(ok)} ${name}: ${shows} (${Math.round(tookMs)} ms)`,
    ...checks.map((check) => `    ${mark(check.holds)} ${check.claim}${differenceOf(check)}`),
    `    pg_stat_activity: ${states.join(", ") || "no connection"}`,
  ].join("\n");
}

function differenceOf({ holds, seen, wanted }: Check): string {
  return holds ? "" : `: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`;
}

function closingOf({ scenarios, notRun, connectionsLeft, tookMs }: Summary): string {
  const passed = scenarios.filter(({ ok }) => ok).length;
  const total = scenarios.length + notRun.length;
  return [
    `${passed} of ${total} scenarios passed (${(tookMs / 1_000).toFixed(1)} s)`,
    ...scenarios.filter(({ ok }) => !ok).map(failureOf),
    ...(notRun.length > 0 ? [`Not run after that: ${notRun.join(", ")}`] : []),
    `${connectionsOf(connectionsLeft)} left open`,
  ].join("\n");
}

function failureOf({ name, left }: ScenarioResult): string {
  return left > 0
    ? `The scenario ${name} leaked ${connectionsOf(left)}`
    : `The scenario ${name} failed`;
}

function connectionsOf(count: number): string {
  return `${count} ${count === 1 ? "connection" : "connections"}`;
}
