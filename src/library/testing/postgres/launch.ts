import { join } from "node:path";
import type { Cluster, ClusterContext } from "./cluster.ts";
import { runPostgresCommand } from "./command.ts";
import { findPostmaster } from "./process.ts";
import { findProcesses } from "./processes.ts";

const attemptsMax = 20;

/**
 * Starts the server of `cluster`, on its previous port if that is free.
 *
 * @throws {Error} with the log's last lines when the server doesn't start.
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
    const fault = transientFault(log);
    if (fault === undefined || attempt === attemptsMax) {
      throw await startError(cluster, text, log);
    }
    if (fault === "port taken") port = await chooseFreePort(undefined);
    if (fault === "stale pid file") await Deno.remove(join(cluster.data, "postmaster.pid"));
    if (fault === "data in use") await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Why a failed start is worth repeating; undefined when it is not. */
function transientFault(
  log: string,
): "port taken" | "stale pid file" | "data in use" | undefined {
  if (/could not (bind|create any TCP)/.test(log)) return "port taken";
  // No postmaster of this data is alive here, because stale servers were stopped: the pid belongs to another program.
  if (/lock file "postmaster.pid" already exists/.test(log)) return "stale pid file";
  // On Windows the children of a killed postmaster cannot be found and killed, and take a moment to end by themselves.
  if (isInUse(log)) return "data in use";
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

/** Moves the previous log away, so that the new one holds only this attempt. */
async function rotateLog(log: string): Promise<void> {
  await Deno.rename(log, `${log}.1`).catch(() => {});
}

async function startError(
  { data, log: path }: Cluster,
  output: string,
  log: string,
): Promise<Error> {
  const lines = (log === "" ? output.trim() : log).split("\n").slice(-20).join("\n");
  const wayOut = isInUse(log)
    ? `end ${await describeOrphans(data)}, then start again: the data is kept`
    : "`deno task reset` starts over with empty data";
  return new Error(
    `Cannot start PostgreSQL on ${data} as its log ${path} ends in\n${lines}\n${wayOut}`,
  );
}

/** True if processes of an earlier server still use the data. */
function isInUse(log: string): boolean {
  return /pre-existing shared memory block/.test(log);
}

async function describeOrphans(data: string): Promise<string> {
  const pids = (await findProcesses(data)).map(({ pid }) => pid);
  if (pids.length > 0) {
    return `the processes of an earlier server with \`kill -9 ${pids.join(" ")}\``;
  }
  const name = Deno.build.os === "windows" ? "postgres.exe" : "postgres";
  return `the ${name} processes of an earlier server (of another user or container, perhaps)`;
}
