import { EVENTS, type QueueFigures } from "./queue.ts";
import type { FloodFigures } from "./queue_flood.ts";
import { BATCH_SIZE, CONCURRENCY } from "./queue_contender.ts";

const CELL = 10;

export function queueTable(
  { contenders: figures, flood }: { contenders: readonly QueueFigures[]; flood: FloodFigures },
): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const head = ["events/s", "ratio", "min", "max"];
  return [
    `${EVENTS} events, ${CONCURRENCY} at once, ${BATCH_SIZE} in a batch; ours through a WebSocket and a relay, theirs over TCP.`,
    "Ratio: its time divided by ours in the same round; above 1, ours is faster.",
    " ".repeat(width) + head.map((title) => title.padStart(CELL)).join(""),
    ...figures.map(({ name, eventsPerSecond, ratio }) => {
      const ratios = [ratio.median, ratio.min, ratio.max].map((value) => value.toFixed(2));
      return [name.padEnd(width), eventsPerSecond.toFixed(0).padStart(CELL)]
        .concat(ratios.map((value) => value.padStart(CELL))).join("");
    }),
    "",
    `a read's 99th percentile: alone ${flood.aloneMs.toFixed(1)} ms, in a flood of ` +
    `${flood.eventsPerSecond.toFixed(0)} messages a second ${
      flood.floodedMs.toFixed(1)
    } ms; goal: at most twice`,
  ].join("\n");
}
