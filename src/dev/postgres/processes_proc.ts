import { processIdentity } from "./process_identity.ts";
import type { PostgresProcess } from "./processes.ts";

/** Imported by the guardian, which runs without deno.json: no bare specifiers here. */

type Places = readonly [program: string, directory: string];

/** Linux: the `postgres` processes that work in `directory`, a real path that `account` owns. */
export async function findInProc(
  directory: string,
  account: { readonly uid: number; readonly gid: number },
): Promise<PostgresProcess[]> {
  const names = (await Array.fromAsync(Deno.readDir("/proc"))).map(({ name }) => name);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const named = await Promise.all(pids.map(identifyPostgres));
  const found = new Map(named.filter((entry) => entry !== undefined));
  const places = await readPlaces([...found.keys()], account);
  return [...places].filter(([, [, at]]) => at === directory).map(([pid, [path]]) => {
    return { pid, identity: found.get(pid)!, program: path.replace(/ \(deleted\)$/, "") };
  });
}

async function identifyPostgres(pid: number): Promise<[number, string] | undefined> {
  const name = await Deno.readTextFile(`/proc/${pid}/comm`).catch(() => "");
  if (name !== "postgres\n") return undefined;
  const identity = await processIdentity(pid);
  return identity === undefined ? undefined : [pid, identity];
}

async function readPlaces(
  pids: number[],
  account: { readonly uid: number; readonly gid: number },
): Promise<Map<number, Places>> {
  const places = new Map<number, Places>();
  const refused: number[] = [];
  await Promise.all(pids.map(async (pid) => {
    try {
      const links = ["exe", "cwd"].map((name) => Deno.readLink(`/proc/${pid}/${name}`));
      const [program, directory] = await Promise.all(links);
      places.set(pid, [program!, directory!]);
    } catch (error) {
      if (error instanceof Deno.errors.PermissionDenied) refused.push(pid);
    }
  }));
  if (refused.length === 0 || Deno.uid() !== 0) return places;
  return new Map([...places, ...await readPlacesAs(account, refused)]);
}

/** Root in a container has no CAP_SYS_PTRACE as a rule; the server's own account needs none. */
async function readPlacesAs(
  account: { readonly uid: number; readonly gid: number },
  pids: number[],
): Promise<Map<number, Places>> {
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
