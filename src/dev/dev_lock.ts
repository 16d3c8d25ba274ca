import { join } from "node:path";
import { localDirectory } from "./checkout_directory.ts";

/** What the lock's holder publishes about itself. */
export interface LockHolder {
  readonly pid: number;
  /** The URL of its service; missing until the service listens. */
  readonly url?: string;
}

/** Held by the one process that may use this checkout's data. The system releases it when that process ends. */
export interface DevLock extends Disposable {
  /** Publishes the service's URL, which then appears in the errors of other `takeDevLock` calls. */
  announce(url: string): Promise<void>;
}

/**
 * Takes the lock of a checkout without waiting. `purpose` completes "Cannot …" in the errors.
 *
 * @throws {Error} when another process holds it, or `.local` can't be written.
 */
export async function takeDevLock(purpose: string, checkout?: string): Promise<DevLock> {
  const local = await localDirectory(checkout);
  const path = join(local, "dev.lock");
  // A second file, because Windows does not let other processes read a locked file.
  const holderPath = join(local, "dev.json");
  const file = await Deno.open(path, { read: true, write: true, create: true }).catch((cause) => {
    throw new Error(
      `Cannot ${purpose} as ${path} can't be opened for writing; ` +
        "give this user write access to it, or remove .local",
      { cause },
    );
  });
  if (!await file.tryLock(true)) {
    file.close();
    throw refusal(purpose, await readHolder(holderPath));
  }
  const write = (holder: LockHolder) => Deno.writeTextFile(holderPath, JSON.stringify(holder));
  await write({ pid: Deno.pid });
  return {
    announce: (url) => write({ pid: Deno.pid, url }),
    [Symbol.dispose]: () => file.close(),
  };
}

function refusal(purpose: string, holder: LockHolder | undefined): Error {
  const who = holder === undefined ? "another process" : `process ${holder.pid}`;
  const where = holder?.url === undefined ? "" : ` and serves ${holder.url}`;
  return new Error(
    `Cannot ${purpose} as ${who} runs this checkout's development stack${where}; stop it first`,
  );
}

async function readHolder(path: string): Promise<LockHolder | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return undefined;
  }
}
