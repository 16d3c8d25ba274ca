import type { HopFigures, ObjectFigures } from "./objects.ts";

/** Markdown, since READMEs quote it. */
export function objectsTable(figures: readonly ObjectFigures[]): string {
  return [
    "| one way | operation | objects | clients | req/s | p99 ms | CPU ms | failed | logins | connections |",
    "|---|---|---|---|---|---|---|---|---|---|",
    ...figures.map((each) =>
      `| ${each.latencyMs} ms | ${each.operation} | ${each.objects} | ${each.clients} | ` +
      `${each.requestsPerSecond.toFixed(0)} | ${each.p99Ms.toFixed(0)} | ${
        each.cpuMs.toFixed(2)
      } | ` +
      `${each.failed} | ${each.logins} | ${each.connections.join(" to ")} |`
    ),
  ].join("\n");
}

export function hopsTable(figures: readonly HopFigures[]): string {
  return [
    "| a call of an object, CPU | fetch us | RPC us | ratio |",
    "|---|---|---|---|",
    ...figures.map(({ method, fetchUs, rpcUs }) =>
      `| ${method} | ${fetchUs.toFixed(0)} | ${rpcUs.toFixed(0)} | ${
        (rpcUs / fetchUs).toFixed(2)
      } |`
    ),
  ].join("\n");
}
