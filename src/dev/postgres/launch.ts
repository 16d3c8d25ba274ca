import { join } from "node:path";
import type { Cluster, ClusterContext } from "./cluster.ts";
import { runPostgresCommand } from "./command.ts";
import { findPostmaster } from "./process.ts";
import { findProcesses } from "./processes.ts";

const attemptsMax = 20;

/**
 * Starts the server of `cluster`, on the port it had last if that is free.
 *
 * @throws {Error} with the log's last lines when it doesn't start.
 */
export async function launchPostgres(
  cluster: Cluster,
  { binaries, account }: ClusterContext,
): Promise<{ port: number; pid: number }> {
  const portFile = join(cluster.directory, "port");
  let port = await chooseFreePort(await readPort(portFile));
  for (let attempt = 1;; attempt++) {
    await rotateLog(cluster.log);
    const { success, text } = await runPostgresCommand(binaries.pgCtl, [
      ...["start", "--wait", "--timeout=30", "--silent"],
      ...["-D", cluster.data, "-l", cluster.log, "-o", `-p ${port}`],
    ], { account });
    const pid = success ? await findPostmaster(cluster.data) : undefined;
    if (pid !== undefined) {
      await Deno.writeTextFile(portFile, `${port}\n`);
      return { port, pid };
    }
    const log = (await Deno.readTextFile(cluster.log).catch(() => "")).trim();
    const reason = remedy(log);
    if (reason === undefined || attempt === attemptsMax) {
      throw await cannotStart(cluster, text, log);
    }
    if (reason === "another port") port = await chooseFreePort(undefined);
    if (reason === "stale pid file") await Deno.remove(join(cluster.data, "postmaster.pid"));
    if (reason === "a moment") await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What makes a failed start worth repeating; undefined when nothing does. */
function remedy(log: string): "another port" | "stale pid file" | "a moment" | undefined {
  if (/could not (bind|create any TCP)/.test(log)) return "another port";
  // Only reached when no postmaster of this data lives: the pid is another program's by now.
  if (/lock file "postmaster.pid" already exists/.test(log)) return "stale pid file";
  // Windows, where nothing ends the children of a killed postmaster: they take a moment to notice.
  if (isHeld(log)) return "a moment";
  return undefined;
}

async function readPort(portFile: string): Promise<number | undefined> {
  const port = Number(await Deno.readTextFile(portFile).catch(() => ""));
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

function chooseFreePort(preferred: number | undefined): number {
  for (const port of [...(preferred === undefined ? [] : [preferred]), 0]) {
    try {
      using listener = Deno.listen({ hostname: "127.0.0.1", port });
      return listener.addr.port;
    } catch (error) {
      if (port === 0 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("unreachable");
}

/** So that the log in place tells of this attempt alone. */
async function rotateLog(log: string): Promise<void> {
  await Deno.rename(log, `${log}.1`).catch(() => {});
}

async function cannotStart(
  { data, log: path }: Cluster,
  output: string,
  log: string,
): Promise<Error> {
  const lines = (log === "" ? output.trim() : log).split("\n").slice(-20).join("\n");
  const wayOut = isHeld(log)
    ? `end ${await describeHolders(data)}, then start again: the data stays`
    : "`deno task reset` starts over with empty data";
  return new Error(`Cannot start PostgreSQL on ${data}: ${path} ends in\n${lines}\n${wayOut}`);
}

/** Whether processes of an earlier server keep the next one from starting. */
function isHeld(log: string): boolean {
  return /pre-existing shared memory block/.test(log);
}

async function describeHolders(data: string): Promise<string> {
  const pids = (await findProcesses(data)).map(({ pid }) => pid);
  if (pids.length > 0) {
    return `what an earlier server left there with \`kill -9 ${pids.join(" ")}\``;
  }
  const name = Deno.build.os === "windows" ? "postgres.exe" : "postgres";
  return `the ${name} processes that an earlier server left there (another user's or container's?)`;
}
