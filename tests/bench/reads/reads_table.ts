import { spreadOf } from "../spread.ts";
import { type PlaceFigures, READERS, type ReadFigures } from "./reads.ts";

const CELL = 12;

/** The medians of the rounds, and the goals. They are printed, not enforced, since a busy machine may miss them. */
export function readsTable(figures: readonly PlaceFigures[]): string {
  return figures.map(tableOf).join("\n\n");
}

function tableOf(place: PlaceFigures): string {
  const { latencyMs, poolSize, atOnce, slowSeconds, rounds } = place;
  const slow = slowSeconds > 0 ? `, one of ${slowSeconds} s among them` : "";
  const head = ["reads/s", "CPU us", "p50 ms", "p99 ms"];
  return [
    `${latencyMs} ms one way, ${poolSize} connections, ${atOnce} at once${slow}`,
    " ".repeat(CELL) + head.map((title) => title.padStart(CELL)).join(""),
    ...READERS.map((reader) => {
      const of = (figure: keyof ReadFigures) => median(rounds[reader].map((each) => each[figure]));
      const cells = [of("perSecond").toFixed(0), of("cpuUs").toFixed(1)]
        .concat([of("p50Ms"), of("p99Ms")].map((ms) => ms.toFixed(2)));
      return reader.padEnd(CELL) + cells.map((cell) => cell.padStart(CELL)).join("");
    }),
    ...ratiosOf(place),
  ].join("\n");
}

/** Of the shared reads to the others, each within one round. */
function ratiosOf({ rounds }: PlaceFigures): string[] {
  const ratio = (figure: keyof ReadFigures, other: typeof READERS[number]) =>
    median(rounds.shared.map((each, at) => each[figure] / rounds[other][at]![figure])).toFixed(2);
  return [
    `shared to unshared: ${ratio("perSecond", "unshared")} reads/s, ${
      ratio("cpuUs", "unshared")
    } CPU; ` +
    `to postgres: ${ratio("perSecond", "postgres")} reads/s; to pg: ${
      ratio("perSecond", "pg")
    } reads/s`,
  ];
}

function median(values: readonly number[]): number {
  return spreadOf(values).median;
}
