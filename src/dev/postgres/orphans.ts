import { dirname, relative } from "node:path";
import process from "node:process";
import { pollUntil } from "../poll.ts";
import { processIdentity } from "./process_identity.ts";
import { findProcesses, type PostgresProcess } from "./processes.ts";

/** Imported by the guardian, which runs without deno.json: no bare specifiers here. */

/**
 * Kills what a server of ours left on `data`: a process that is frozen, or busy on the CPU, does
 * not notice that its postmaster is gone, and keeps the next one from starting. Nothing is killed
 * once `isOurs` says that the data has a new owner.
 *
 * @throws {Error} when one of them is still there after `deadlineMs`.
 */
export async function endRemains(
  data: string,
  { deadlineMs, pgCtl, isOurs = () => Promise.resolve(true) }: {
    deadlineMs: number;
    pgCtl: string;
    isOurs?: () => Promise<boolean>;
  },
): Promise<void> {
  let left: PostgresProcess[] = [];
  const isDone = async () => {
    left = await findOurs(data, pgCtl);
    // Asked after the search: what a new owner starts from now on is not in the list.
    if (left.length === 0 || !await isOurs()) return true;
    await Promise.all(left.map(kill));
    return false;
  };
  if (await pollUntil(isDone, { deadlineMs, intervalMs: 10 })) return;
  const pids = left.map(({ pid }) => pid).join(" ");
  throw new Error(
    `Cannot stop PostgreSQL on ${data}: its processes ${pids} are still alive ` +
      `${Math.round(deadlineMs)} ms after their postmaster; end them with \`kill -9 ${pids}\``,
  );
}

async function findOurs(data: string, pgCtl: string): Promise<PostgresProcess[]> {
  const processes = await findProcesses(data);
  if (processes.length === 0) return [];
  const home = dirname(dirname(dirname(await Deno.realPath(pgCtl))));
  // An older version of ours may have left them.
  const ours = /^postgresql-[^/]+\/bin\/postgres$/;
  return processes.filter(({ program }) => ours.test(relative(home, program)));
}

async function kill({ pid, identity }: PostgresProcess): Promise<void> {
  if (await processIdentity(pid) !== identity) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone, or not ours to kill: the next search tells which.
  }
}
