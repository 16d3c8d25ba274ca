import { join } from "node:path";
import { localDirectory } from "../../src/dev/checkout_directory.ts";
import { pack } from "../../src/dev/pack.ts";
import { oncePerProcess } from "../../src/library/testing/once_per_process.ts";

/** Writes the library's tarball to `file`. It is packed once for the whole run of `deno test`, which takes seconds. */
export async function writePackedLibrary(file: string): Promise<void> {
  const directory = await localDirectory();
  const tarball = await oncePerProcess({ directory, name: "packed-library" }, packed);
  await Deno.writeFile(file, Uint8Array.fromBase64(tarball));
}

async function packed(): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "db.tgz");
    await pack(file);
    return (await Deno.readFile(file)).toBase64();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
