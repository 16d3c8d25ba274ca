import type { QueueSoakReport } from "./soak.ts";

export function queueSoakTable(report: QueueSoakReport): string {
  const { events, seconds } = report;
  const rows: readonly (readonly [string, string | number])[] = [
    ["seed", report.seed],
    ["events, of users", `${events}, ${report.users}`],
    ["processes, messages at once in each", `${report.processes}, ${report.concurrency}`],
    ["time", `${seconds.toFixed(1)} s, ${(events / seconds).toFixed(0)}/s`],
    ["processes killed", report.killed],
    ["backends terminated", report.terminated],
    ["never delivered", report.waiting],
    ["effects lost, twice, in disorder", `${report.lost}, ${report.twice}, ${report.disordered}`],
    ["poison", report.poison],
    ["dead letters: missing, no poison", `${report.missingDead}, ${report.wrongDead}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}
