import { join } from "node:path";

/**
 * Deno's arguments for a program whose packages have a lock of their own, so that nobody downloads them who does not
 * run it. `lock` is the lock's name in `directory`.
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
