/** The recipe of `src/library/workers/README.md`: Vitest in workerd, for a consumer that has installed the tarball. */
import { assert, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { parseSettings } from "../../src/settings/settings.ts";
import { localDatabase } from "../support/local_database.ts";
import { writePackedLibrary } from "../support/packed_library.ts";

const database = await localDatabase();

const TIMEOUT_MS = 240_000;

/** The files of the recipe: the blocks of JavaScript, in their order. */
const FILES = ["worker.js", "vitest.config.js", "worker.test.js"];

const LOCKED = join(import.meta.dirname!, "vitest");

Deno.test({
  name: "the recipe for Vitest runs on the packed library",
  timeout: TIMEOUT_MS,
  async fn() {
    await using branch = await database.connect();
    const { url, wsProxy } = parseSettings(branch.env).database;
    const env = { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy! };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const folder = await Deno.makeTempDir();
    const run = async (program: string, ...args: string[]) => {
      const { success, stdout, stderr } = await new Deno.Command(program, {
        args,
        cwd: folder,
        env,
        signal,
      }).output();
      const text = new TextDecoder().decode(stdout);
      assert(success, `${program} ${args.join(" ")}\n${text}${new TextDecoder().decode(stderr)}`);
      return text;
    };
    try {
      const readme = await Deno.readTextFile(
        join(import.meta.dirname!, "../../src/library/workers/README.md"),
      );
      const blocks = Array.from(readme.matchAll(/```js\n(.*?)```/gs), ([, code]) => code!);
      for (const [index, file] of FILES.entries()) {
        await Deno.writeTextFile(join(folder, file), blocks[index]!);
      }
      for (const file of ["package.json", "package-lock.json"]) {
        const text = await Deno.readTextFile(join(LOCKED, file));
        await Deno.writeTextFile(join(folder, file), text);
      }
      const { devDependencies } = JSON.parse(await Deno.readTextFile(join(folder, "package.json")));
      for (const [name, version] of Object.entries(devDependencies)) {
        assertStringIncludes(readme, `${name}@${version}`);
      }
      await writePackedLibrary(join(folder, "db.tgz"));
      // Not `npm ci`: it misses an optional package of Windows in the lock that npm itself has written.
      await run("npm", "install", "--no-save", "--no-audit", "--no-fund", "--silent", "./db.tgz");
      // Vitest's own 5 s may not be enough for the first request, on a machine that has other work.
      const vitest = ["vitest", "run", "--no-color", `--testTimeout=${TIMEOUT_MS}`];
      assertStringIncludes(await run("npx", ...vitest), "1 passed");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
