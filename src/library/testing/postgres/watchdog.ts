/**
 * The watchdog: a small process of its own that stops a PostgreSQL server when the process that started the server has
 * ended, even by SIGKILL. Runs as `deno run -A --no-config --no-lock watchdog.ts <order file> <token>`. It runs without
 * deno.json, so this file and everything it imports must use relative and `node:` specifiers only.
 */
import { dirname, join } from "node:path";
import { pollUntil } from "./poll.ts";
import { killOrphans } from "./orphans.ts";
import { findPostmaster, processIdentity, stopPostmaster } from "./process.ts";

/**
 * What the watchdog has to do. Kept in a file, which its owner can remove and a later owner of the data can replace.
 */
export interface WatchdogOrder {
  readonly token: string;
  readonly owner: { readonly pid: number; readonly identity: string };
  readonly data: string;
  readonly pgCtl: string;
  /** Directory to remove after the server has stopped, or null. */
  readonly ephemeralDirectory: string | null;
}

/** A running watchdog, seen from the process that owns the server. */
export interface Watchdog {
  /** @throws {Error} when the watchdog has not started within five seconds. */
  ready(): Promise<void>;
  /** False after a later process has become the owner of the data: the server is then that owner's. */
  ownsData(): Promise<boolean>;
  /** Ends the watchdog. Call it after the server has stopped. */
  release(): Promise<void>;
}

const intervalMs = 200;

/** Starts a watchdog for the server of `data`, in a session of its own. */
export async function startWatchdog(
  orderFile: string,
  { data, pgCtl, ephemeralDirectory }: Pick<WatchdogOrder, "data" | "pgCtl" | "ephemeralDirectory">,
): Promise<Watchdog> {
  const token = crypto.randomUUID();
  const owner = { pid: Deno.pid, identity: (await processIdentity(Deno.pid))! };
  const order: WatchdogOrder = { token, owner, data, pgCtl, ephemeralDirectory };
  await Deno.writeTextFile(orderFile, JSON.stringify(order));
  await spawnDetached([orderFile, token]);
  const pidFile = pidFileOf(orderFile, token);
  const ownsData = async () => await readOrder(orderFile, token) !== undefined;
  return {
    ownsData,
    async ready() {
      const hasStarted = () => Deno.stat(pidFile).then(() => true, () => false);
      if (await pollUntil(hasStarted, { deadlineMs: 5_000, intervalMs: 10 })) return;
      throw new Error(
        `Cannot watch over PostgreSQL as the watchdog did not write ${pidFile} within 5000 ms; ` +
          `run \`deno run -A ${import.meta.url} ${orderFile} ${token}\` to see why`,
      );
    },
    async release() {
      if (await ownsData()) await Deno.remove(orderFile).catch(() => {});
      await Deno.remove(pidFile).catch(() => {});
    },
  };
}

/** Not a child of this process: Deno's test sanitizer would report a child that outlives the test as a leak. */
async function spawnDetached(args: string[]): Promise<void> {
  const command = [
    Deno.execPath(),
    ...["run", "-A", "--quiet", "--no-config", "--no-lock"],
    import.meta.url,
    ...args,
  ];
  const stdio = { stdin: "null", stdout: "null", stderr: "null", detached: true } as const;
  if (Deno.build.os === "windows") {
    new Deno.Command(command[0]!, { ...stdio, args: command.slice(1) }).spawn().unref();
    return;
  }
  const inBackground = ["-c", '"$@" &', "sh", ...command];
  await new Deno.Command("sh", { ...stdio, args: inBackground, cwd: "/" }).spawn().status;
}

function pidFileOf(orderFile: string, token: string): string {
  return join(dirname(orderFile), `watchdog-${token.slice(0, 8)}.pid`);
}

async function watch(orderFile: string, token: string): Promise<void> {
  const pidFile = pidFileOf(orderFile, token);
  await Deno.writeTextFile(pidFile, `${Deno.pid}\n`);
  let order: WatchdogOrder | undefined;
  while ((order = await readOrder(orderFile, token)) !== undefined) {
    if (await processIdentity(order.owner.pid) !== order.owner.identity) break;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  if (order !== undefined) await stopServerOf(order, orderFile);
  await Deno.remove(pidFile).catch(() => {});
}

/**
 * If the owner died while the server was starting, the postmaster appears only after the owner's death: wait for it.
 */
async function stopServerOf(
  { data, pgCtl, ephemeralDirectory, token }: WatchdogOrder,
  orderFile: string,
): Promise<void> {
  const ownsData = async () => await readOrder(orderFile, token) !== undefined;
  const stop = async () => {
    const pid = await findPostmaster(data);
    // Checked after the search: a new owner may have come meanwhile, and this may be its server.
    if (pid === undefined || !await ownsData()) return false;
    await stopPostmaster(pid, { deadlineMs: 10_000, pgCtl });
    return true;
  };
  await pollUntil(stop, { deadlineMs: 1_500, intervalMs: 100 });
  await killOrphans(data, { deadlineMs: 5_000, pgCtl, ownsData });
  if (!await ownsData()) return;
  if (ephemeralDirectory === null) return await Deno.remove(orderFile);
  const isRemoved = () =>
    Deno.remove(ephemeralDirectory, { recursive: true }).then(
      () => true,
      (error) => error instanceof Deno.errors.NotFound,
    );
  await pollUntil(isRemoved, { deadlineMs: 5_000, intervalMs: 100 });
}

/** The order, unless it was removed or belongs to another token. */
async function readOrder(orderFile: string, token: string): Promise<WatchdogOrder | undefined> {
  try {
    const order: WatchdogOrder = JSON.parse(await Deno.readTextFile(orderFile));
    return order.token === token ? order : undefined;
  } catch {
    return undefined;
  }
}

if (import.meta.main) await watch(Deno.args[0]!, Deno.args[1]!);
