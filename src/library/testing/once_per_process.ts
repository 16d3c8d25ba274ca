import { join } from "node:path";
import process from "node:process";
import { processIdentity } from "./postgres/process_identity.ts";

/**
 * Makes a value once for the whole run of `deno test`. Test files are threads of one process that share nothing but the
 * disk, so that a file in `directory` holds the value, as JSON that only this user can read. Removes the files of
 * processes that had other ids.
 */
export async function oncePerProcess<T>(
  { directory, name, pid = process.pid }: { directory: string; name: string; pid?: number },
  make: () => Promise<T>,
): Promise<T> {
  const file = join(directory, `${name}-${pid}.json`);
  using lock = await Deno.open(`${file}.lock`, { create: true, write: true });
  await lock.lock(true);
  // Another process had the same id before, perhaps, such as in an earlier container.
  const owner = await processIdentity(pid) ?? "";
  const made = await read<T>(file);
  if (made?.owner === owner) return made.value;
  await removeLeftovers(directory, name, pid);
  const value = await make();
  await Deno.writeTextFile(file, JSON.stringify({ owner, value }), { mode: 0o600 });
  return value;
}

async function read<T>(file: string): Promise<{ owner: string; value: T } | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function removeLeftovers(directory: string, name: string, pid: number): Promise<void> {
  for await (const { name: file } of Deno.readDir(directory)) {
    if (!file.startsWith(`${name}-`)) continue;
    const other = /^(\d+)\.json/.exec(file.slice(name.length + 1))?.[1];
    if (other === undefined || Number(other) === pid || isAlive(Number(other))) continue;
    await Deno.remove(join(directory, file)).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    // Signal 0 only asks whether the process exists.
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
