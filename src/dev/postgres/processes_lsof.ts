import { processIdentity } from "./process_identity.ts";
import type { PostgresProcess } from "./processes.ts";

/** Imported by the guardian, which runs without deno.json: no bare specifiers here. */

/** macOS, which has no /proc: the `postgres` processes that work in `directory`, a real path. */
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
    // Not everybody's PATH has /usr/sbin; what is left then, the failed start tells.
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Each process is a line `p<pid>`, each of its files a line `f<kind>` and a line `n<path>`. */
export function parseLsof(
  output: string,
  directory: string,
): { readonly pid: number; readonly program: string }[] {
  return output.split(/^p/m).slice(1).flatMap((text) => {
    const pid = parseInt(text);
    const at = /^fcwd\nn(.*)$/m.exec(text)?.[1];
    // Its libraries are `txt` too.
    const program = /^ftxt\nn(.*\/postgres)$/m.exec(text)?.[1] ?? "";
    return at === directory ? [{ pid, program }] : [];
  });
}
