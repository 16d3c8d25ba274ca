/** Imported by watchdog.ts, which runs without deno.json: no bare specifiers here. */
import { type PostgresProcess, processIdentity } from "./process_identity.ts";

type Links = readonly [program: string, directory: string];

/** On Linux: the `postgres` processes whose working directory is `directory`, a real path that `account` owns. */
export async function findInProc(
  directory: string,
  account: { readonly uid: number; readonly gid: number },
): Promise<PostgresProcess[]> {
  const names = (await Array.fromAsync(Deno.readDir("/proc"))).map(({ name }) => name);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const entries = await Promise.all(pids.map(identifyPostgres));
  const identities = new Map(entries.filter((entry) => entry !== undefined));
  const links = await readLinks([...identities.keys()], account);
  return [...links].filter(([, [, at]]) => at === directory).map(([pid, [path]]) => {
    return { pid, identity: identities.get(pid)!, program: path.replace(/ \(deleted\)$/, "") };
  });
}

async function identifyPostgres(pid: number): Promise<[number, string] | undefined> {
  const name = await Deno.readTextFile(`/proc/${pid}/comm`).catch(() => "");
  if (name !== "postgres\n") return undefined;
  const identity = await processIdentity(pid);
  return identity === undefined ? undefined : [pid, identity];
}

async function readLinks(
  pids: number[],
  account: { readonly uid: number; readonly gid: number },
): Promise<Map<number, Links>> {
  const links = new Map<number, Links>();
  const denied: number[] = [];
  await Promise.all(pids.map(async (pid) => {
    try {
      const [program, directory] = await Promise.all(
        ["exe", "cwd"].map((name) => Deno.readLink(`/proc/${pid}/${name}`)),
      );
      links.set(pid, [program!, directory!]);
    } catch (error) {
      if (error instanceof Deno.errors.PermissionDenied) denied.push(pid);
    }
  }));
  if (denied.length === 0 || Deno.uid() !== 0) return links;
  return new Map([...links, ...await readLinksAs(account, denied)]);
}

/**
 * Reads the links as `account`: root in a container usually lacks CAP_SYS_PTRACE, and a process's own account needs
 * none.
 */
async function readLinksAs(
  account: { readonly uid: number; readonly gid: number },
  pids: number[],
): Promise<Map<number, Links>> {
  const script = 'for pid; do echo "$pid"; readlink "/proc/$pid/exe" || echo; ' +
    'readlink "/proc/$pid/cwd" || echo; done';
  const { stdout } = await new Deno.Command("sh", {
    ...account,
    args: ["-c", script, "sh", ...pids.map(String)],
    cwd: "/",
    stderr: "null",
    signal: AbortSignal.timeout(5_000),
  }).output();
  const lines = new TextDecoder().decode(stdout).split("\n");
  return new Map(
    pids.map((pid, index) => [pid, [lines[3 * index + 1] ?? "", lines[3 * index + 2] ?? ""]]),
  );
}
