/**
 * The bundle of a Worker, made once for the whole run of `deno test`. It takes some 0.6 s of two processes, and dozens of
 * test files start the same few Workers.
 */
import { join } from "node:path";
import { bundle } from "../../src/dev/worker/bundle.ts";
import { checkoutDirectory, localDirectory } from "../../src/dev/checkout_directory.ts";
import { oncePerProcess } from "../../src/library/testing/once_per_process.ts";
import { sha256 } from "../../src/sha256.ts";

interface BundleRequest {
  /** Path from the repository's root. */
  readonly entry: string;
  readonly minify: boolean;
  readonly timeoutMs: number;
}

/** The text of the bundle. Made anew if a source has changed since, as under `deno test --watch`. */
export async function workerBundle({ entry, minify, timeoutMs }: BundleRequest): Promise<string> {
  const make = async () => new TextDecoder().decode(await bundle({ entry, minify, timeoutMs }));
  const [directory, changedAtMs, hash] = await Promise.all([
    localDirectory(),
    newestChangeMs(),
    sha256(JSON.stringify([entry, minify])),
  ]);
  const made = await oncePerProcess(
    { directory, name: `bundle-${hash.slice(0, 16)}` },
    async () => ({ changedAtMs, text: await make() }),
  );
  return made.changedAtMs === changedAtMs ? made.text : await make();
}

/** When a file of this checkout that a bundle may hold was last changed. */
async function newestChangeMs(): Promise<number> {
  const times = await Promise.all(["src", "tests", "deno.json"].map((name) => changedMs(name)));
  return Math.max(...times);
}

async function changedMs(path: string): Promise<number> {
  const { isDirectory, mtime } = await Deno.stat(join(checkoutDirectory, path));
  if (!isDirectory) return mtime?.getTime() ?? 0;
  const names = await Array.fromAsync(
    Deno.readDir(join(checkoutDirectory, path)),
    ({ name }) => name,
  );
  // Tests make folders for a time, whose names begin with a dot.
  const lasting = names.filter((name) => !name.startsWith("."));
  return Math.max(0, ...await Promise.all(lasting.map((name) => changedMs(`${path}/${name}`))));
}
