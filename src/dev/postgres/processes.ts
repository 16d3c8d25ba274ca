import { findByLsof } from "./processes_lsof.ts";
import { findInProc } from "./processes_proc.ts";

/** Imported by the guardian, which runs without deno.json: no bare specifiers here. */

/** A live process by the name of `postgres`. */
export interface PostgresProcess {
  readonly pid: number;
  /** As of `processIdentity`. */
  readonly identity: string;
  /** Real path of what it executes. */
  readonly program: string;
}

/**
 * The processes, of whichever PostgreSQL, that work in the data directory `data`, as all of a
 * server's do. None on Windows, which tells nobody where a process works.
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
