import type { SoakReport } from "./soak.ts";

/**
 * How much the median of the heap's last quarter may lie above the first's. In the full run, 150,000 sessions apart,
 * 14 bytes kept for each would show.
 */
export const HEAP_GROWTH_BYTES = 2 * 1024 * 1024;

/**
 * What is wrong with a run, a sentence each; nothing if it is as it must be. A terminated backend may cost its caller
 * one thing only: that the outcome of a COMMIT that had been sent is unknown. Everything else is replayed or run again.
 */
export function faultsOf(report: SoakReport): string[] {
  const { ledger, heap, poolSize, maxOverflow, mostBackends, leftBackends, kills } = report;
  const bound = poolSize + maxOverflow;
  const rules: readonly (readonly [isBroken: boolean, what: string])[] = [
    [kills === 0, "No backend was terminated: nothing was tried"],
    [report.failedReads > 0, `${report.failedReads} reads failed that could have been run again`],
    [
      report.failedWrites > 0,
      `${report.failedWrites} writes failed though nothing of them was left`,
    ],
    [
      report.unknownWrites > kills,
      `${report.unknownWrites} outcomes are unknown, more than the ${kills} backends terminated`,
    ],
    [ledger.lost > 0, `${ledger.lost} writes were told as done, and are not there`],
    [ledger.phantom > 0, `${ledger.phantom} rows are there that nobody was told of`],
    [ledger.twice > 0, `${ledger.twice} writes were done more than once`],
    [ledger.untold > 0, `${ledger.untold} units never ended`],
    [
      mostBackends > bound,
      `${mostBackends} backends were seen at once, above the bound of ${bound}`,
    ],
    [leftBackends > 0, `${leftBackends} backends were left after close()`],
    [
      heap !== undefined && heap.last - heap.first > HEAP_GROWTH_BYTES,
      `The heap grew by ${heap === undefined ? 0 : heap.last - heap.first} bytes`,
    ],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, what]) => what);
}
