import type { ContenderFigures, RowFigures } from "./pool.ts";

export function poolTable(figures: readonly RowFigures[]): string {
  const contenders = figures[0]?.contenders ?? [];
  return [
    "Ratio: its time divided by ours in the same round; above 1, ours is faster.",
    ...figures.flatMap(({ row, contenders }) => ["", row, HEAD, ...contenders.map(line)]),
    "",
    "A waiter gives up by",
    ...contenders.map(({ name, givesUpBy }) => `  ${name.padEnd(NAME)}${givesUpBy}`),
  ].join("\n");
}

const NAME = 20;
const CELL = 8;

const HEAD = " ".repeat(NAME + 2) + "ops/s".padStart(12) + "ns/op".padStart(CELL) +
  ["ratio", "min", "p25", "p75", "max"].map((title) => title.padStart(CELL)).join("");

function line({ name, nsPerOperation, ratio }: ContenderFigures, place: number): string {
  const { median, min, p25, p75, max } = ratio;
  const ratios = [median, min, p25, p75, max].map((value) => value.toFixed(2).padStart(CELL));
  return `  ${name.padEnd(NAME)}` +
    Math.round(1e9 / nsPerOperation.median).toLocaleString("en").padStart(12) +
    nsPerOperation.median.toFixed(0).padStart(CELL) +
    (place === 0 ? "" : ratios.join(""));
}
