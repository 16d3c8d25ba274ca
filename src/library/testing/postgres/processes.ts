/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import type { PostgresProcess } from "./process_identity.ts";
import { findByLsof } from "./processes_lsof.ts";
import { findInProc } from "./processes_proc.ts";

/**
 * Finds the `postgres` processes, of any installation, whose working directory is the data directory `data`; that holds
 * for every process of a server. Returns none on Windows, which has no way to read a process's working directory.
 */
export async function findProcesses(data: string): Promise<PostgresProcess[]> {
  if (Deno.build.os === "windows") return [];
  let directory: Deno.FileInfo & { path: string };
  try {
    directory = { ...await Deno.stat(data), path: await Deno.realPath(data) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const { path, uid, gid } = directory;
  if (Deno.build.os !== "linux") return await findByLsof(path);
  return await findInProc(path, { uid: uid!, gid: gid! });
}
