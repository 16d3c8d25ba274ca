import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The account that PostgreSQL runs as; undefined for the caller's own. */
export type ServerAccount = { readonly uid: number; readonly gid: number } | undefined;

/** The root of this checkout. */
export const checkoutDirectory: string = dirname(
  dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
);

/** The system's account `nobody` if the caller is root, because PostgreSQL refuses to run as root. */
export function serverAccount(): ServerAccount {
  return Deno.uid() === 0 ? { uid: 65534, gid: 65534 } : undefined;
}

/** Makes and returns the directory `.local` of the checkout, which git ignores. */
export async function localDirectory(checkout: string = checkoutDirectory): Promise<string> {
  const path = join(checkout, ".local");
  await makeDirectory(path);
  return path;
}

/**
 * Makes and returns the directory of PostgreSQL's programs and data: `.local/postgres`. If the server's account can't
 * reach that, as in a checkout under /root, it is a directory in /var/tmp, whose path is written to
 * `.local/postgres-directory`.
 *
 * @throws {Error} when it can't be written, or when others than root can write the one in /var/tmp.
 */
export async function postgresDirectory(checkout: string = checkoutDirectory): Promise<string> {
  const local = await localDirectory(checkout);
  const account = serverAccount();
  if (account === undefined || await canReach(local, account)) {
    const path = join(local, "postgres");
    await makeDirectory(path);
    return path;
  }
  const path = `/var/tmp/user-service-${await digest(await Deno.realPath(checkout))}`;
  await makeDirectory(path);
  const { uid, mode, isDirectory } = await Deno.lstat(path);
  if (!isDirectory || uid !== 0 || ((mode ?? 0) & 0o022) !== 0) {
    throw new Error(
      `Cannot keep PostgreSQL's data in ${path} as it is not a directory that only root can write; ` +
        "remove it, or move the checkout to a place that other users can reach",
    );
  }
  await Deno.writeTextFile(join(local, "postgres-directory"), `${path}\n`);
  return path;
}

/**
 * Makes a directory, if it is missing. `mode` holds whatever the umask is, so that the server's account can enter it.
 */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  try {
    await Deno.mkdir(path);
    if (Deno.build.os !== "windows") await Deno.chmod(path, mode);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    throw new Error(
      `Cannot make the directory ${path} as the system refuses it: ${(error as Error).message}; ` +
        "give this user write access to its parent, or move the checkout",
      { cause: error },
    );
  }
}

async function canReach(path: string, { uid }: { uid: number }): Promise<boolean> {
  for (let at = await Deno.realPath(path);; at = dirname(at)) {
    const { mode, uid: owner } = await Deno.stat(at);
    if (((mode ?? 0) & (owner === uid ? 0o100 : 0o001)) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(hash).toHex().slice(0, 12);
}
