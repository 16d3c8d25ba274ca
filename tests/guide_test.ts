/** The code in the library's READMEs is type-checked, and run against a real server, as a reader would paste it. */
import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import { DATABASE_DEFAULTS } from "../src/library/database_config.ts";
import { EXAMPLES, type Given, WORKER_BLOCKS } from "./guide_examples.ts";
import { type LocalBranch, localDatabase } from "./support/local_database.ts";
import { startWorkerd } from "./support/workerd.ts";

const root = new URL("..", import.meta.url);
const database = await localDatabase();

const READMES = [
  "src/db/README.md",
  "src/library/README.md",
  "src/library/hono/README.md",
  "src/http/README.md",
];

interface Block {
  readonly readme: string;
  /** The heading above it. */
  readonly heading: string;
  readonly language: string;
  readonly code: string;
}

async function blocksOf(readme: string): Promise<Block[]> {
  const text = await Deno.readTextFile(new URL(readme, root));
  const pattern = /^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$/gms;
  let heading = "";
  const blocks: Block[] = [];
  for (const [, title, language, code] of text.matchAll(pattern)) {
    if (title !== undefined) heading = title;
    else blocks.push({ readme, heading, language: language!, code: code! });
  }
  return blocks;
}

const blocks = (await Promise.all(READMES.map(blocksOf))).flat();

/** The headings of blocks that tests/library/readme_test.ts and tests/library/orm/readme_test.ts run. */
const RUN_ELSEWHERE = [
  "Drizzle",
  "Kysely",
  "Libraries that take a pool of node-postgres",
  "Tests of an app",
];

/** A module with the block as the body of `run`, behind its imports. */
function moduleOf(code: string, prelude = ""): string {
  const imports = /^import [^;]*;$/gm;
  const all = `${prelude.replaceAll(/^\s+/gm, "")}\n${code}`;
  const own = Array.from(all.matchAll(imports), ([line]) => line);
  const rest = all.replaceAll(imports, "");
  const bound = new Set(own.flatMap((line) => line.match(/\w+/g)!));
  const withSql = bound.has("sql") ? [] : ['import { sql } from "@user-service/db";'];
  const withApp = /\bconst app\b/.test(rest) ? "" : "const app = given.app;";
  const withDb = /\bdb = openDatabase\(/.test(rest) ? "" : "const { db } = given;";
  return `${[...withSql, ...own].join("\n")}
    import type { Hono as App } from "hono";
    import type { DatabaseEnv as GivenEnv } from "@user-service/db/hono";
    import type { Database as GivenDatabase } from "@user-service/db";
    interface Given {
      readonly db: GivenDatabase;
      readonly app: App<GivenEnv>;
      readonly Deno: { readonly env: { get(name: string): string | undefined } };
      readonly console: { log(...values: unknown[]): void };
    }
    export async function run(given: Given): Promise<{ request(path: string): Response | Promise<Response> }> {
      const { Deno, console } = given;
      ${withDb}
      ${withApp}
      ${rest}
      return app;
    }`;
}

/** Writes modules where the package's own name leads to its sources, and checks their types. */
async function written(sources: readonly string[]): Promise<AsyncDisposable & { urls: string[] }> {
  const folder = await Deno.makeTempDir({
    dir: new URL("tests/", root).pathname,
    prefix: ".guide-",
  });
  const files = sources.map((_, index) => `${folder}/block_${index}.ts`);
  await Promise.all(files.map((file, index) => Deno.writeTextFile(file, sources[index]!)));
  const dispose = () => Deno.remove(folder, { recursive: true });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", ...files],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) {
    await dispose();
    throw new Error(new TextDecoder().decode(stderr));
  }
  return {
    urls: files.map((file) => new URL(`file://${file}`).href),
    [Symbol.asyncDispose]: dispose,
  };
}

function blockWith(part: string): Block {
  const found = blocks.filter(({ language, code }) => language === "ts" && code.includes(part));
  assertEquals(found.length, 1, `${found.length} blocks have ${part}`);
  return found[0]!;
}

/** The tables of the guide's examples. */
async function createTables(branch: LocalBranch): Promise<void> {
  const { code } = blocks.find(({ language }) => language === "sql")!;
  const tables = code.split(/;\n/).map((text) => text.trim()).filter((text) => text !== "");
  for (const text of tables) await branch.asAdmin(text);
  await branch.asAdmin("alter table accounts owner to user_service_owner");
  await branch.asAdmin("alter table transfers owner to user_service_owner");
}

Deno.test("every block of code in the library's READMEs is run", () => {
  const known = [...EXAMPLES.map(({ has }) => has), ...WORKER_BLOCKS];
  const unknown = blocks.filter(({ language, heading, code }) =>
    language === "ts" && !RUN_ELSEWHERE.includes(heading) &&
    !known.some((part) => code.includes(part))
  );
  assertEquals(unknown.map(({ readme, code }) => `${readme}: ${code.slice(0, 60)}`), []);
  assert(blocks.length > 12, `${blocks.length} blocks were found`);
});

Deno.test({
  name: "the blocks of the library's READMEs do what they say",
  timeout: 120_000,
  async fn(t) {
    await using branch = await database.connect();
    await createTables(branch);
    const env = branch.envOf("user_service_owner");
    const db = branch.open(env);
    await using modules = await written(
      EXAMPLES.map(({ has, prelude }) => moduleOf(blockWith(has).code, prelude)),
    );
    for (const [index, { has, before, check }] of EXAMPLES.entries()) {
      await t.step(has, async () => {
        if (before !== undefined) await branch.asAdmin(before);
        const { run } = await import(modules.urls[index]!);
        const printed: string[] = [];
        const given: Given = {
          db,
          app: new Hono(),
          Deno: { env: { get: (name) => env[name] } },
          console: { log: (value) => void printed.push(String(value)) },
        };
        const app = await run(given);
        await check({ app, branch, printed });
      });
    }
    // The end of a read-only session is off the path of its caller. A lease that is not returned would last until the timeout.
    const startedAt = performance.now();
    await db.close({ timeoutMs: 10_000 });
    assert(performance.now() - startedAt < 9_000, "a block has kept its lease");
  },
});

/** In a project with Cloudflare's types, they are global. */
const CLOUDFLARE_TYPES = `/// <reference path="../../src/workers/cloudflare_workers.d.ts" />
import type { DurableObjectNamespace } from "cloudflare:workers";
`;

Deno.test({
  name: "the Workers and the Durable Object of the READMEs run in workerd",
  timeout: 180_000,
  async fn() {
    await using branch = await database.connect();
    const env = branch.envOf("user_service_scram");
    const [url, wsProxy] = [env["DATABASE_URL"]!, env["DATABASE_WS_PROXY"]!];
    const codes = WORKER_BLOCKS.map((part) => blockWith(part).code);
    await using modules = await written(codes.map((code) => CLOUDFLARE_TYPES + code));
    for (const [index, code] of codes.entries()) {
      const hasObject = code.includes("class DatabaseObject");
      await using workerd = await startWorkerd({
        entry: new URL(modules.urls[index]!).pathname.slice(root.pathname.length),
        bindings: { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy },
        durableObjects: hasObject ? { DATABASE_OBJECT: "DatabaseObject" } : {},
      });
      for (let turn = 0; turn < 2; turn++) {
        const response = await fetch(workerd.url);
        assertEquals([response.status, await response.json()], [200, [{ answer: 42 }]]);
      }
      assertEquals(workerd.takeUncaught(), []);
    }
  },
});

Deno.test("the guide's table of options has every default", async () => {
  const guide = await Deno.readTextFile(new URL("src/db/README.md", root));
  const { pool, session, ...rest } = DATABASE_DEFAULTS;
  const entries = [
    ...Object.entries(rest),
    ...Object.entries(pool).map(([name, value]) => [`pool.${name}`, value]),
    ...Object.entries(session).map(([name, value]) => [`session.${name}`, value]),
  ] as [string, unknown][];
  const table = new Map(
    Array.from(
      guide.matchAll(/^\| `([\w.]+)` +\| (.+?) +\|/gm),
      ([, name, value]) => [name!, value!.replaceAll("`", "")],
    ),
  );
  const told = entries.map(([name]) => [name, table.get(name)]);
  const actual = entries.map((
    [name, value],
  ) => [name, typeof value === "object" ? "none" : String(value)]);
  assertEquals(told, actual);
});
