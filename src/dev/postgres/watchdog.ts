/**
 * A small process of its own, which outlives its owner by a moment: it stops a PostgreSQL server
 * once the process that started it is gone, however that ended. Runs as
 * `deno run postgres_guardian.ts <path of the guard file> <token>`.
 */
import { dirname, join } from "node:path";
import { pollUntil } from "../poll.ts";
import { findPostmaster, processIdentity, stopPostmaster } from "./process.ts";
import { endRemains } from "./orphans.ts";

/** What the guardian is to do; a file, so that the owner can take it back or a newer one replace it. */
export interface Guard {
  readonly token: string;
  readonly owner: { readonly pid: number; readonly identity: string };
  readonly data: string;
  readonly pgCtl: string;
  /** Directory to remove with the server, or null. */
  readonly removes: string | null;
}

/** A guarded server: `release` once it is stopped, and the guardian leaves. */
export interface Guarded {
  /** @throws {Error} when the guardian isn't there after five seconds. */
  ready(): Promise<void>;
  /** False once the data has a new owner, whose server is not ours to stop. */
  isOurs(): Promise<boolean>;
  release(): Promise<void>;
}

const intervalMs = 200;

/** Starts a guardian for the server of `data`, in a session of its own. */
export async function guardPostgres(
  guardFile: string,
  { data, pgCtl, removes }: Pick<Guard, "data" | "pgCtl" | "removes">,
): Promise<Guarded> {
  const token = crypto.randomUUID();
  const owner = { pid: Deno.pid, identity: (await processIdentity(Deno.pid))! };
  const guard: Guard = { token, owner, data, pgCtl, removes };
  await Deno.writeTextFile(guardFile, JSON.stringify(guard));
  await spawnApart([guardFile, token]);
  const sign = signOfLife(guardFile, token);
  const isOurs = async () => await read(guardFile, token) !== undefined;
  return {
    isOurs,
    async ready() {
      const isThere = () => Deno.stat(sign).then(() => true, () => false);
      if (await pollUntil(isThere, { deadlineMs: 5_000, intervalMs: 10 })) return;
      throw new Error(
        `Cannot guard PostgreSQL: the guardian left no sign of life at ${sign} within 5000 ms; ` +
          `run \`deno run -A ${import.meta.filename} ${guardFile} ${token}\` to see why`,
      );
    },
    async release() {
      if (await isOurs()) await Deno.remove(guardFile).catch(() => {});
      await Deno.remove(sign).catch(() => {});
    },
  };
}

/** Not as a child: a test that starts a server would be told that it leaks the child. */
async function spawnApart(args: string[]): Promise<void> {
  const command = [
    Deno.execPath(),
    ...["run", "-A", "--quiet", "--no-config", "--no-lock"],
    import.meta.filename!,
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

function signOfLife(guardFile: string, token: string): string {
  return join(dirname(guardFile), `guardian-${token.slice(0, 8)}`);
}

async function watch(guardFile: string, token: string): Promise<void> {
  const sign = signOfLife(guardFile, token);
  await Deno.writeTextFile(sign, `${Deno.pid}\n`);
  let guard: Guard | undefined;
  while ((guard = await read(guardFile, token)) !== undefined) {
    if (await processIdentity(guard.owner.pid) !== guard.owner.identity) break;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  if (guard !== undefined) await clear(guard, guardFile);
  await Deno.remove(sign).catch(() => {});
}

/** The owner may have died while the server was starting, so that it appears only now. */
async function clear({ data, pgCtl, removes, token }: Guard, guardFile: string): Promise<void> {
  const isOurs = async () => await read(guardFile, token) !== undefined;
  const stop = async () => {
    const pid = await findPostmaster(data);
    // Asked again here: a new owner may have come, and this may be its server.
    if (pid === undefined || !await isOurs()) return false;
    await stopPostmaster(pid, { deadlineMs: 10_000, pgCtl });
    return true;
  };
  await pollUntil(stop, { deadlineMs: 1_500, intervalMs: 100 });
  await endRemains(data, { deadlineMs: 5_000, pgCtl, isOurs });
  if (!await isOurs()) return;
  if (removes === null) return await Deno.remove(guardFile);
  const isRemoved = () =>
    Deno.remove(removes, { recursive: true }).then(
      () => true,
      (error) => error instanceof Deno.errors.NotFound,
    );
  await pollUntil(isRemoved, { deadlineMs: 5_000, intervalMs: 100 });
}

async function read(guardFile: string, token: string): Promise<Guard | undefined> {
  try {
    const guard: Guard = JSON.parse(await Deno.readTextFile(guardFile));
    return guard.token === token ? guard : undefined;
  } catch {
    return undefined;
  }
}

if (import.meta.main) await watch(Deno.args[0]!, Deno.args[1]!);
