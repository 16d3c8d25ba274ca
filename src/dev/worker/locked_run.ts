import { join } from "node:path";

/**
 * Deno's arguments to run a program with a lock file of its own. Packages that only this program needs stay out of
 * deno.lock, so other tasks do not download them. `lock` is the lock's file name in `directory`.
 */
export function lockedRun(
  directory: string,
  { lock, program }: { lock: string; program: string },
): string[] {
  const lockFile = join(directory, lock);
  return [
    "run",
    "--allow-all",
    "--quiet",
    "--no-config",
    "--frozen",
    `--lock=${lockFile}`,
    program,
  ];
}
