import { SESSION_GOALS, verdictOn } from "./session_goals.ts";
import type { UnitFigures, WayFigures } from "./session.ts";

export function sessionTable(figures: readonly UnitFigures[]): string {
  return [
    "The same pool size, server, relay and WebSocket (npm's ws) for all.",
    "Ratio: its time divided by that of the first in the same round; above 1, the first is faster.",
    ...figures.flatMap((row) => ["", titleOf(row), HEAD, ...row.ways.map(line)]),
    "",
    "Goals, by the medians of paired ratios",
    ...SESSION_GOALS.map((goal) => `  ${verdictOn(goal, figures)}`),
  ].join("\n");
}

function titleOf({ unit, latencyMs, atOnce }: UnitFigures): string {
  const load = atOnce === 1 ? "one at a time" : `${atOnce} at once`;
  return `${unit}, ${latencyMs} ms one way, ${load}`;
}

const NAME = 46;
const CELL = 8;

const HEAD = " ".repeat(NAME + 2) + "units/s".padStart(CELL) +
  ["ms", "ratio", "min", "p25", "p75", "max"].map((title) => title.padStart(CELL)).join("");

function line({ name, unitsPerSecond, msPerUnit, ratio }: WayFigures, place: number): string {
  const { median, min, p25, p75, max } = ratio;
  const ratios = [median, min, p25, p75, max].map((value) => value.toFixed(2).padStart(CELL));
  return `  ${name.padEnd(NAME)}` +
    unitsPerSecond.toFixed(0).padStart(CELL) +
    msPerUnit.median.toFixed(1).padStart(CELL) +
    (place === 0 ? "" : ratios.join(""));
}
