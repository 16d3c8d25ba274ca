/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import { type PostgresProcess, processIdentity } from "./process_identity.ts";

/** On macOS, which has no /proc: the `postgres` processes whose working directory is `directory`, a real path. */
export async function findByLsof(directory: string): Promise<PostgresProcess[]> {
  const found = await Promise.all(
    parseLsof(await runLsof(), directory).map(async ({ pid, program }) => {
      const identity = await processIdentity(pid);
      return identity === undefined ? [] : [{ pid, identity, program }];
    }),
  );
  return found.flat();
}

async function runLsof(): Promise<string> {
  const args = ["-nP", "-w", "-a", "-c", "postgres", "-d", "cwd,txt", "-F", "pfn"];
  try {
    const signal = AbortSignal.timeout(5_000);
    const lsof = new Deno.Command("lsof", { args, stdin: "null", stderr: "null", signal });
    return new TextDecoder().decode((await lsof.output()).stdout);
  } catch (error) {
    // lsof is in /usr/sbin, which may be missing in PATH. Orphans are not found then, and the next start fails on them.
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** In lsof's output each process is a line `p<pid>`, each of its files a line `f<kind>` and a line `n<path>`. */
export function parseLsof(
  output: string,
  directory: string,
): { readonly pid: number; readonly program: string }[] {
  return output.split(/^p/m).slice(1).flatMap((text) => {
    const pid = parseInt(text);
    const workingDirectory = /^fcwd\nn(.*)$/m.exec(text)?.[1];
    // lsof reports libraries as `txt` too.
    const program = /^ftxt\nn(.*\/postgres)$/m.exec(text)?.[1] ?? "";
    return workingDirectory === directory ? [{ pid, program }] : [];
  });
}
