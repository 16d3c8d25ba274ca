/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import { join } from "node:path";
import process from "node:process";
import { pollUntil } from "./poll.ts";
import { processIdentity } from "./process_identity.ts";
import { killOrphans } from "./orphans.ts";

export { processIdentity } from "./process_identity.ts";

/**
 * The postmaster's shutdown modes fast and immediate, then force.
 * https://www.postgresql.org/docs/18/server-shutdown.html
 */
const stopSignals = ["SIGINT", "SIGQUIT", "SIGKILL"] as const;

/** The pid of the live postmaster of `data`, or undefined. */
export async function findPostmaster(data: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(data, "postmaster.pid"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const pid = Number(text.split("\n", 1)[0]);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  if (await processIdentity(pid) === undefined) return undefined;
  return await isPostmasterOf(pid, data) ? pid : undefined;
}

/**
 * Stops the postmaster within `deadlineMs`: by a fast shutdown, which rolls open transactions back, then by an
 * immediate one, then by SIGKILL. `immediately` skips the fast shutdown.
 *
 * @throws {Error} when it is still alive after that.
 */
export async function stopPostmaster(
  pid: number,
  { deadlineMs, pgCtl, immediately = false }: {
    deadlineMs: number;
    pgCtl: string;
    immediately?: boolean;
  },
): Promise<void> {
  const identity = await processIdentity(pid);
  if (identity === undefined) return;
  const shares = immediately ? [0, 0.7, 0.3] : [0.7, 0.2, 0.1];
  for (const [index, name] of stopSignals.entries()) {
    const share = shares[index]!;
    if (share === 0) continue;
    await signal(pid, name, pgCtl);
    const isGone = async () => await processIdentity(pid) !== identity;
    if (await pollUntil(isGone, { deadlineMs: deadlineMs * share, intervalMs: 10 })) return;
  }
  throw new Error(
    `Cannot stop PostgreSQL as process ${pid} is still alive after ${Math.round(deadlineMs)} ms; ` +
      `end it with \`kill -9 ${pid}\``,
  );
}

/** Stops the postmaster `pid`, if there is one, then kills the processes of its server that are left on `data`. */
export async function stopServer(
  { data, pid }: { data: string; pid: number | undefined },
  { deadlineMs, ...options }: {
    deadlineMs: number;
    pgCtl: string;
    immediately?: boolean;
    ownsData?: () => Promise<boolean>;
  },
): Promise<void> {
  const endsAtMs = performance.now() + deadlineMs;
  if (pid !== undefined) await stopPostmaster(pid, { ...options, deadlineMs: deadlineMs * 0.8 });
  await killOrphans(data, { ...options, deadlineMs: endsAtMs - performance.now() });
}

/** Stops a server that an earlier process left running on `data`: its owner and its watchdog were both killed. */
export async function stopStaleServer(data: string, pgCtl: string): Promise<void> {
  await stopServer({ data, pid: await findPostmaster(data) }, { deadlineMs: 5_000, pgCtl });
}

/** After a reboot the pid in postmaster.pid may belong to another program. */
async function isPostmasterOf(pid: number, data: string): Promise<boolean> {
  if (Deno.build.os === "windows") return true;
  if (Deno.build.os === "linux") {
    try {
      const command = await Deno.readTextFile(`/proc/${pid}/cmdline`);
      return command.split("\0").includes(data);
    } catch {
      return false;
    }
  }
  const ps = new Deno.Command("ps", { args: ["-ww", "-o", "command=", "-p", `${pid}`] });
  return new TextDecoder().decode((await ps.output()).stdout).includes(data);
}

async function signal(pid: number, name: typeof stopSignals[number], pgCtl: string): Promise<void> {
  if (Deno.build.os === "windows") {
    const args = ["kill", name.slice("SIG".length), `${pid}`];
    await new Deno.Command(pgCtl, { args, stdout: "null", stderr: "null" }).output();
    return;
  }
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}
