/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import { dirname, relative } from "node:path";
import process from "node:process";
import { pollUntil } from "./poll.ts";
import { type PostgresProcess, processIdentity } from "./process_identity.ts";
import { findProcesses } from "./processes.ts";

/**
 * Kills the server processes on `data` that outlived their postmaster. A frozen process, or one that is busy on the
 * CPU, does not notice that the postmaster is gone, and keeps the next server from starting. Nothing is killed once
 * `ownsData` reports that the data has a new owner.
 *
 * @throws {Error} when one of them is still alive after `deadlineMs`.
 */
export async function killOrphans(
  data: string,
  { deadlineMs, pgCtl, ownsData = () => Promise.resolve(true) }: {
    deadlineMs: number;
    pgCtl: string;
    ownsData?: () => Promise<boolean>;
  },
): Promise<void> {
  let orphans: PostgresProcess[] = [];
  const isDone = async () => {
    orphans = await findOrphans(data, pgCtl);
    // Checked after the search: processes that a new owner starts from now on are not in the list.
    if (orphans.length === 0 || !await ownsData()) return true;
    await Promise.all(orphans.map(kill));
    return false;
  };
  if (await pollUntil(isDone, { deadlineMs, intervalMs: 10 })) return;
  const pids = orphans.map(({ pid }) => pid).join(" ");
  throw new Error(
    `Cannot stop PostgreSQL on ${data} as its processes ${pids} are still alive ` +
      `${Math.round(deadlineMs)} ms after their postmaster; end them with \`kill -9 ${pids}\``,
  );
}

/** Only processes that run a PostgreSQL program installed beside `pgCtl`, of any version of the package. */
async function findOrphans(data: string, pgCtl: string): Promise<PostgresProcess[]> {
  const processes = await findProcesses(data);
  if (processes.length === 0) return [];
  const home = dirname(dirname(dirname(await Deno.realPath(pgCtl))));
  const installed = /^postgresql-[^/]+\/bin\/postgres$/;
  return processes.filter(({ program }) => installed.test(relative(home, program)));
}

async function kill({ pid, identity }: PostgresProcess): Promise<void> {
  if (await processIdentity(pid) !== identity) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // The process has ended, or this user may not kill it. The next search shows which.
  }
}
