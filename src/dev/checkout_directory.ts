import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "../sha256.ts";
import { canReach, makeDirectory, serverAccount } from "../library/testing/postgres/directory.ts";

/** The root of this checkout. */
export const checkoutDirectory: string = dirname(
  dirname(dirname(fileURLToPath(import.meta.url))),
);

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
  const digest = await sha256(await Deno.realPath(checkout));
  const path = `/var/tmp/user-service-${digest.slice(0, 12)}`;
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
