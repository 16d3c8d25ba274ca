import type { SoakReport } from "./soak.ts";
import { HEAP_GROWTH_BYTES } from "./verdict.ts";

const MEBI = 1024 * 1024;

export function soakTable(report: SoakReport): string {
  const { counters, heap, ledger, failures } = report;
  const rows: readonly (readonly [string, string | number])[] = [
    ["seed", report.seed],
    ["sessions, at once", `${report.sessions}, ${report.concurrency}`],
    ["time", `${report.seconds.toFixed(1)} s, ${(report.sessions / report.seconds).toFixed(0)}/s`],
    ["backends terminated", report.kills],
    ["first flights replayed", report.replayed],
    ["units run again", report.runs - report.sessions],
    ["failed reads", report.failedReads],
    ["failed writes, outcome known", report.failedWrites],
    ["writes of unknown outcome", report.unknownWrites],
    [
      "rows lost, phantom, twice",
      [ledger.lost, ledger.phantom, ledger.twice].join(", "),
    ],
    [
      `most backends in ${report.looks} looks`,
      `${report.mostBackends} of ${report.poolSize + report.maxOverflow}`,
    ],
    ["backends after close()", report.leftBackends],
    [
      "heap, first and last quarter",
      heap === undefined
        ? "not measured: run with --v8-flags=--expose-gc"
        : `${(heap.first / MEBI).toFixed(2)} and ${(heap.last / MEBI).toFixed(2)} MiB, ` +
          `at most ${HEAP_GROWTH_BYTES / MEBI} apart`,
    ],
    [
      "connected, failed",
      `${counters.connected}, ${counters.connectFailed}`,
    ],
    [
      "closed: old, stale, spare, broken",
      [counters.recycled, counters.staleGeneration, counters.overflowClosed, counters.broken].join(
        ", ",
      ),
    ],
    [
      "refused, timed out",
      `${counters.queueFull + counters.shed + counters.unreachable}, ${counters.timedOut}`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...[...failures].map(([kind, { count, message }]) => `${count} × ${kind}: ${message}`),
  ].join("\n");
}
