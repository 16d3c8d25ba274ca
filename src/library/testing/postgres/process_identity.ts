/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import process from "node:process";

/** A live process whose program is named `postgres`. */
export interface PostgresProcess {
  readonly pid: number;
  /** As `processIdentity` returns it. */
  readonly identity: string;
  /** Real path of the program it executes. */
  readonly program: string;
}

/**
 * Tells a process from a later one with the same pid: on Linux by its start time, elsewhere not at all. `undefined` if
 * no such process is alive; a zombie is not.
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (!isPidInUse(pid)) return undefined;
  if (Deno.build.os !== "linux") return `${pid}`;
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    // The second field is the program's name, which may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    return state === "Z" || state === "X" ? undefined : `${pid}@${startTicks}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return `${pid}`;
  }
}

function isPidInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: in use, by another user.
    return (error as { code?: string }).code !== "ESRCH";
  }
}
