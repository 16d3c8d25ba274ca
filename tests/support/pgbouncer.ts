/**
 * A PgBouncer in transaction mode, from Debian's package `pgbouncer`. After each transaction it may give the server
 * connection to another client, so that any state that a client leaves on it shows up at the other client.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../../src/db/time/timeout.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { postgresHba } from "../../src/library/testing/postgres/conf.ts";
import { type ServerAccount, serverAccount } from "../../src/library/testing/postgres/directory.ts";
import type { TestServer } from "./test_server.ts";

export interface PgBouncer {
  readonly port: number;
  /** Kills the process, which closes every connection, and starts it again on its port after `downMs`. */
  restart(options: { downMs: number }): Promise<void>;
  /** Closes every connection, ends the process and removes its files. Safe to call twice. */
  stop(): Promise<void>;
}

/** Server connections for each user and database. */
export const POOL_SIZE = 4;

const START_ATTEMPTS = 5;
const START_TIMEOUT_MS = 5_000;

/** Debian installs it into a directory that is on root's PATH only. */
const DIRECTORIES = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];

/** The path of the program; undefined if it is not installed. */
export async function findPgBouncer(): Promise<string | undefined> {
  if (Deno.build.os === "windows") return undefined;
  for (const directory of DIRECTORIES) {
    const path = join(directory, "pgbouncer");
    if (directory !== "" && await isFile(path)) return path;
  }
  return undefined;
}

/** By name, as in its configuration file: https://www.pgbouncer.org/config.html */
export type PgBouncerSettings = Readonly<Record<string, string>>;

/** Starts it on loopback, in front of the server. It ends with this process if `stop` is not called. */
export async function startPgBouncer(
  program: string,
  server: TestServer,
  settings: PgBouncerSettings = {},
): Promise<PgBouncer> {
  const account = serverAccount();
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "user-service-test-" }));
  const log = () => Deno.readTextFile(fileIn(directory, "log")).catch(() => "");
  const isUp = async () => /process up/.test(await log());
  let process: { end(): Promise<void> } | undefined;
  const end = async () => {
    await process?.end();
    process = undefined;
  };
  /** Returns whether it is up. */
  const start = async () => {
    await Deno.writeTextFile(fileIn(directory, "log"), "");
    process = spawn([program, fileIn(directory, "ini")], account);
    return await pollUntil(isUp, { deadlineMs: START_TIMEOUT_MS, intervalMs: 10 });
  };
  const stop = async () => {
    await end();
    if (existsSync(directory)) await Deno.remove(directory, { recursive: true });
  };
  const failed = async () =>
    new Error(
      `Cannot start PgBouncer within ${START_TIMEOUT_MS} ms; its log:\n${(await log()).trim()}`,
    );
  for (let attempt = 1;; attempt++) {
    const port = freePort();
    await writeFiles(directory, { port, server, account, settings });
    if (await start()) {
      return {
        port,
        stop,
        async restart({ downMs }) {
          await end();
          await sleep(downMs);
          if (!await start()) throw await failed();
        },
      };
    }
    // Another program has taken the port meanwhile.
    if (/in use/.test(await log()) && attempt < START_ATTEMPTS) {
      await end();
      continue;
    }
    const failure = await failed();
    await stop();
    throw failure;
  }
}

interface Configuration {
  readonly port: number;
  readonly server: TestServer;
  readonly account: ServerAccount;
  readonly settings: PgBouncerSettings;
}

async function writeFiles(
  directory: string,
  { port, server, account, settings }: Configuration,
): Promise<void> {
  const users = Object.values(server.urls).map((url) => {
    const { username, password } = new URL(url);
    return `"${username}" "${password}"\n`;
  });
  const ini = `[databases]
* = host=127.0.0.1 port=${server.port}
[pgbouncer]
pool_mode = transaction
${
    Object.entries({ default_pool_size: POOL_SIZE, ...settings }).map((each) => each.join(" = "))
      .join("\n")
  }
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = hba
auth_hba_file = ${fileIn(directory, "hba")}
auth_file = ${fileIn(directory, "users")}
logfile = ${fileIn(directory, "log")}
`;
  // The roles log in as they do to the server itself: one by SCRAM, the others with a password.
  const files = { ini, hba: postgresHba, users: users.join(""), log: "" };
  for (const [name, text] of Object.entries(files)) {
    const path = fileIn(directory, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    if (account !== undefined) await Deno.chown(path, account.uid, account.gid);
  }
  if (account !== undefined) await Deno.chown(directory, account.uid, account.gid);
}

function fileIn(directory: string, extension: string): string {
  return join(directory, `pgbouncer.${extension}`);
}

/** The shell kills the program when its own input ends. The input ends with this process, even if it is killed. */
const UNTIL_INPUT_ENDS = '"$@" & read -r _; kill -KILL $!; wait';

/** PgBouncer refuses to run as root. */
function spawn(command: string[], account: ServerAccount): { end(): Promise<void> } {
  const child = new Deno.Command("sh", {
    args: ["-c", UNTIL_INPUT_ENDS, "sh", ...command],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    // Ctrl-C in a terminal must not reach it, and `account` may have no access to the current directory.
    detached: true,
    cwd: "/",
    ...account,
  }).spawn();
  return {
    async end() {
      await child.stdin.close();
      await child.status;
    },
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
