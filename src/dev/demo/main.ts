/**
 * `deno task demo`: shows on a real PostgreSQL that connections are managed as this project says, and that none is
 * left. `--json` prints one document; `--leak STEP` has a step keep a connection, to see that it is caught.
 */
import { parseArgs } from "node:util";
import { play, type StepResult } from "./play.ts";
import { jsonReport, plainReport, type Report, terminalReport } from "./report.ts";
import { steps } from "./steps.ts";
import { createWorld } from "./world.ts";

interface Flags {
  readonly json: boolean;
  readonly leak: string | undefined;
}

/** Gives whether no connection is left and each step did what it says. */
async function demonstrate(
  { leak, report }: { leak: string | undefined; report: Report },
): Promise<boolean> {
  const sinceMs = performance.now();
  await using world = await createWorld();
  const results: StepResult[] = [];
  for (const step of steps) {
    report.begun(step);
    const result = await play(step, world, { leaks: step.name === leak });
    results.push(result);
    report.ended(result);
    // Those after it would count what is not theirs.
    if (result.left > 0) break;
  }
  const connectionsLeft = await world.server.connections();
  const ok = connectionsLeft === 0 && results.every(({ ok }) => ok);
  const notPlayed = steps.slice(results.length).map(({ name }) => name);
  const tookMs = performance.now() - sinceMs;
  report.over({ steps: results, notPlayed, connectionsLeft, tookMs, ok });
  return ok;
}

function flagsOf(args: readonly string[]): Flags {
  const { values: { json = false, leak } } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean" }, leak: { type: "string" } },
  });
  const names = steps.map(({ name }) => name);
  if (leak !== undefined && !names.includes(leak)) {
    throw new Error(
      `Cannot leak in a step that there is not: current value is ${leak}; use ${names.join(", ")}`,
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
