import { join } from "node:path";
import { preparePostgresBinaries } from "../../src/library/testing/postgres/binaries.ts";
import { findPostmaster, stopStaleServer } from "../../src/library/testing/postgres/process.ts";

/** A temporary directory that the server's account can reach. Disposal stops the server on it and removes it. */
export interface Scratch extends AsyncDisposable {
  readonly path: string;
}

export async function makeScratch(): Promise<Scratch> {
  const path = await Deno.realPath(await Deno.makeTempDir({ prefix: "user-service-test-" }));
  if (Deno.build.os !== "windows") await Deno.chmod(path, 0o755);
  return {
    path,
    async [Symbol.asyncDispose]() {
      const data = join(path, "development", "cluster", "data");
      if (await findPostmaster(data) !== undefined) {
        await stopStaleServer(data, (await preparePostgresBinaries(path)).pgCtl);
      }
      await Deno.remove(path, { recursive: true });
    },
  };
}
