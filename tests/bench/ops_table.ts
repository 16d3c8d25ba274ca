import type { OpsFigures } from "./ops.ts";

/** A share of the unwatched app's throughput. It is printed, not enforced, since a busy machine may miss it. */
const GOAL = 0.97;

const CELL = 10;

export function opsTable({ requests, rounds, ways }: OpsFigures): string {
  const width = Math.max(...ways.map(({ name }) => name.length));
  const head = ["requests/s", "ratio", "p25", "p75", "min", "max"];
  const ratio = ways[1]!.ratio.median;
  return [
    `GET /users/:id, ${requests} times in each of ${rounds} rounds. Ratio: the throughput divided by the first one's in the same round.`,
    " ".repeat(width) + head.map((title) => title.padStart(CELL + 1)).join(""),
    ...ways.map(({ name, requestsPerSecond, ratio: { median, p25, p75, min, max } }) =>
      [name.padEnd(width), requestsPerSecond.toFixed(0).padStart(CELL + 1)]
        .concat([median, p25, p75, min, max].map((value) => value.toFixed(3).padStart(CELL + 1)))
        .join("")
    ),
    "",
    `${ratio >= GOAL ? "met   " : "MISSED"} ${ratio.toFixed(3)}, goal at least ${GOAL}`,
  ].join("\n");
}
