import { join } from "node:path";
import { lockedRun } from "../../src/dev/worker/locked_run.ts";

/**
 * Runs `NAME_process.ts` of this folder with the lock `NAME.lock`, and returns what it prints, parsed as JSON. Rejects
 * with what it has written to standard error, if it fails.
 */
export async function lockedOutput(name: string, input: string): Promise<unknown> {
  const directory = import.meta.dirname!;
  const child = new Deno.Command(Deno.execPath(), {
    args: lockedRun(directory, {
      lock: `${name}.lock`,
      program: join(directory, `${name}_process.ts`),
    }),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // A process that fails may not read its input.
  const written = new Blob([input]).stream().pipeTo(child.stdin).catch(() => {});
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), written]);
  if (!success) {
    throw new Error(`Cannot run ${name}_process.ts: ${new TextDecoder().decode(stderr)}`);
  }
  return JSON.parse(new TextDecoder().decode(stdout));
}
