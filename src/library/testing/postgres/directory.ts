import { dirname } from "node:path";

/** The account that PostgreSQL runs as; undefined for the caller's own. */
export type ServerAccount = { readonly uid: number; readonly gid: number } | undefined;

/** The system's account `nobody` if the caller is root, because PostgreSQL refuses to run as root. */
export function serverAccount(): ServerAccount {
  return Deno.uid() === 0 ? { uid: 65534, gid: 65534 } : undefined;
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

/** Whether the account can enter the directory and all above it. */
export async function canReach(path: string, { uid }: { uid: number }): Promise<boolean> {
  for (let at = await Deno.realPath(path);; at = dirname(at)) {
    const { mode, uid: owner } = await Deno.stat(at);
    if (((mode ?? 0) & (owner === uid ? 0o100 : 0o001)) === 0) return false;
    if (at === dirname(at)) return true;
  }
}
