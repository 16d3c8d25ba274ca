import { spreadOf } from "../spread.ts";
import type { LimitFigures } from "./http.ts";
import type { CellFigures, Turn } from "./measure.ts";
import type { OverloadFigures } from "./overload.ts";

/** Markdown, since READMEs quote it. */
export function httpTable(cells: readonly CellFigures[]): string {
  return cells.flatMap(cellTable).join("\n");
}

export function limitTable({ overload, memory, cold }: LimitFigures): string {
  return [
    "Cold starts, in ms",
    "",
    "| | start | first read | later reads |",
    "|---|---|---|---|",
    ...cold.map(({ name, startMs, firstMs, laterMs }) =>
      `| ${name} | ${startMs.toFixed(0)} | ${firstMs.toFixed(1)} | ${laterMs.toFixed(2)} |`
    ),
    "",
    `Memory of ${memory[0]!.waiting} waiting requests`,
    "",
    "| | MiB |",
    "|---|---|",
    ...memory.map(({ name, bytes }) => `| ${name} | ${(bytes / 2 ** 20).toFixed(1)} |`),
    "",
    ...overload.flatMap(overloadTable),
  ].join("\n");
}

function cellTable({ operation, latencyMs, connections, contenders }: CellFigures): string[] {
  const first = contenders[0]!.turns;
  return [
    `${operation}, ${latencyMs} ms one way, ${connections} connections`,
    "",
    "| | req/s (min to max) | ratio | p50 ms | p99 ms | service us | ratio | PostgreSQL us | ratio |",
    "|---|---|---|---|---|---|---|---|---|",
    ...contenders.map(({ name, turns }) => {
      const { min, max } = spreadOf(turns.map(({ requestsPerSecond }) => requestsPerSecond));
      const of = (key: keyof Turn, digits: number) => median(turns, key).toFixed(digits);
      const ratio = (key: keyof Turn) => medianRatio(turns, first, key).toFixed(2);
      const cells = [
        name,
        `${of("requestsPerSecond", 0)} (${min.toFixed(0)} to ${max.toFixed(0)})`,
        ratio("requestsPerSecond"),
        of("p50Ms", 2),
        of("p99Ms", 1),
        of("serviceUs", 0),
        ratio("serviceUs"),
        of("postgresUs", 0),
        ratio("postgresUs"),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
  ];
}

function overloadTable({ name, capacity, steps }: OverloadFigures): string[] {
  return [
    `Overload of ${name}: reads, 20 ms one way, capacity ${capacity.toFixed(0)} req/s`,
    "",
    "| sent | goodput | share of capacity | accepted p99 ms | refused | refused p99 ms | failed |",
    "|---|---|---|---|---|---|---|",
    ...steps.map(({ times, goodput, accepted, refused, failed }) => {
      const cells = [
        `${times}x`,
        goodput.toFixed(0),
        (goodput / capacity).toFixed(2),
        accepted.p99Ms.toFixed(0),
        refused.count,
        refused.p99Ms.toFixed(0),
        failed,
      ];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
  ];
}

export function median(turns: readonly Turn[], key: keyof Turn): number {
  return spreadOf(turns.map((turn) => turn[key])).median;
}

/** The median of the ratios within one round, so that other load of the machine meets both. */
export function medianRatio(
  turns: readonly Turn[],
  others: readonly Turn[],
  key: keyof Turn,
): number {
  return spreadOf(turns.map((turn, round) => turn[key] / others[round]![key])).median;
}
