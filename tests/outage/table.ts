import type { Latencies } from "./latencies.ts";
import type { OutageReport } from "./outage.ts";

const HEAD = [
  "database gone",
  "calls",
  "first refusal",
  "refused: n, p50, p99, max",
  "failed: n, max",
  "served late: n, max",
  "recovery",
];

/** Milliseconds throughout. */
export function outageTable(reports: readonly OutageReport[]): string {
  const rows = [HEAD, ...reports.map(rowOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  "))
    .join("\n");
}

function rowOf(report: OutageReport): string[] {
  const { refused: { count, p50, p99, max } } = report;
  return [
    report.way,
    `${report.calls}`,
    report.firstRefusalMs?.toFixed(0) ?? "none",
    `${count}, ${p50.toFixed(2)}, ${p99.toFixed(2)}, ${max.toFixed(2)}`,
    countAndMax(report.failed),
    countAndMax(report.servedLate),
    report.recoveryMs.toFixed(0),
  ];
}

function countAndMax({ count, max }: Latencies): string {
  return `${count}, ${max.toFixed(0)}`;
}
