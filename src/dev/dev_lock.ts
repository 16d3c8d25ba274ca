import { join } from "node:path";
import { localDirectory } from "./postgres/directory.ts";

/** What the holder of the lock says of itself. */
export interface LockHolder {
  readonly pid: number;
  /** Where its service listens; missing until it does. */
  readonly url?: string;
}

/** Held by the one process that may use this checkout's data; death gives it up. */
export interface DevLock extends Disposable {
  /** Tells whoever asks for the lock next where the service listens. */
  announce(url: string): Promise<void>;
}

/**
 * Takes the lock of a checkout, without waiting, for what `purpose` names.
 *
 * @throws {Error} when another process holds it, or `.local` can't be written.
 */
export async function takeDevLock(purpose: string, checkout?: string): Promise<DevLock> {
  const local = await localDirectory(checkout);
  const path = join(local, "dev.lock");
  // Beside the lock, as Windows lets nobody read a locked file.
  const holderPath = join(local, "dev.json");
  const file = await Deno.open(path, { read: true, write: true, create: true }).catch((cause) => {
    throw new Error(
      `Cannot ${purpose}: ${path} can't be opened for writing; ` +
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
    `Cannot ${purpose}: ${who} runs this checkout's development stack${where}; stop that one first`,
  );
}

async function readHolder(path: string): Promise<LockHolder | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return undefined;
  }
}
