/**
 * `deno task demo`: runs scenarios on a real PostgreSQL, checks what each one claims about sessions and the pool, and
 * counts the connections that are left. `--json` prints one JSON document. `--leak SCENARIO` makes that scenario keep a
 * connection, to show that the leak is detected.
 */
import { parseArgs } from "node:util";
import { startDemoEnvironment } from "./environment.ts";
import { jsonReport, plainReport, type Report, terminalReport } from "./report.ts";
import { runScenario, type ScenarioResult } from "./runner.ts";
import { scenarios } from "./scenarios.ts";

interface Flags {
  readonly json: boolean;
  readonly leak: string | undefined;
}

/** Resolves to true if every scenario passed and no connection is left. */
async function demonstrate(
  { leak, report }: { leak: string | undefined; report: Report },
): Promise<boolean> {
  const sinceMs = performance.now();
  await using environment = await startDemoEnvironment();
  const results: ScenarioResult[] = [];
  for (const scenario of scenarios) {
    report.onStart(scenario);
    const result = await runScenario(scenario, environment, { leaks: scenario.name === leak });
    results.push(result);
    report.onResult(result);
    // The leaked connection would be counted in every later scenario.
    if (result.left > 0) break;
  }
  const connectionsLeft = await environment.server.connections();
  const ok = connectionsLeft === 0 && results.every(({ ok }) => ok);
  const notRun = scenarios.slice(results.length).map(({ name }) => name);
  const tookMs = performance.now() - sinceMs;
  report.onEnd({ scenarios: results, notRun, connectionsLeft, tookMs, ok });
  return ok;
}

function flagsOf(args: readonly string[]): Flags {
  const { values: { json = false, leak } } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean" }, leak: { type: "string" } },
  });
  const names = scenarios.map(({ name }) => name);
  if (leak !== undefined && !names.includes(leak)) {
    throw new Error(
      `Cannot leak as there is no such scenario: current value is ${leak}; use ${names.join(", ")}`,
    );
  }
  return { json, leak };
}

function reportFor({ json }: Flags): Report {
  const encoder = new TextEncoder();
  const write = (text: string) => {
    let rest = encoder.encode(text);
    while (rest.length > 0) rest = rest.subarray(Deno.stdout.writeSync(rest));
  };
  if (json) return jsonReport(write);
  return Deno.stdout.isTerminal()
    ? terminalReport(write, { colors: !Deno.noColor })
    : plainReport(write);
}

if (import.meta.main) {
  try {
    const flags = flagsOf(Deno.args);
    Deno.exit(await demonstrate({ ...flags, report: reportFor(flags) }) ? 0 : 1);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
