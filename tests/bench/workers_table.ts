import type { WorkerFigures } from "./workers.ts";

/** Markdown, since READMEs quote it. The ratios are to the first way. */
export function workersTable(figures: readonly WorkerFigures[]): string {
  return (["read", "create"] as const).flatMap((operation) => {
    const rows = figures.filter((each) => each.operation === operation);
    const [byHand] = rows;
    return [
      `${operation}, in workerd`,
      "",
      "| | p50 at 20 ms one way | ratio | CPU ms | ratio | req/s at 0 ms, 16 at a time |",
      "|---|---|---|---|---|---|",
      ...rows.map(({ name, p50Ms, cpuMs, requestsPerSecond }) =>
        `| ${name} | ${p50Ms.toFixed(0)} | ${(p50Ms / byHand!.p50Ms).toFixed(2)} | ` +
        `${cpuMs.toFixed(2)} | ${(cpuMs / byHand!.cpuMs).toFixed(2)} | ${
          requestsPerSecond.toFixed(0)
        } |`
      ),
      "",
    ];
  }).join("\n");
}
