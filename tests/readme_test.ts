/**
 * The READMEs: what they tell to run is there, what they link to exists, and the root's life of a request is
 * type-checked and run against a real server as it is written.
 */
import { assert, assertEquals } from "@std/assert";
import { glob } from "node:fs/promises";
import type { Hono } from "hono";
import type { Database } from "../src/db/mod.ts";
import { newUserId } from "../src/users/user_id.ts";
import { branchDatabase } from "./support/branch_database.ts";
import { importChecked } from "./support/checked_module.ts";

const root = new URL("..", import.meta.url);
const database = await branchDatabase();

interface Example {
  readonly makeApp: (
    surroundings: { db: Database; welcome: (email: string) => void },
  ) => Hono;
}

/** The code of the first block under a heading, its imports apart. */
async function codeUnder(heading: string): Promise<{ imports: string[]; code: string[] }> {
  const readme = await Deno.readTextFile(new URL("README.md", root));
  const section = readme.slice(readme.indexOf(`\n## ${heading}\n`));
  const block = /```ts\n(.*?)```/s.exec(section)?.[1] ?? "";
  const lines = block.split("\n").filter((line) => line !== "");
  const isImport = (line: string) => line.startsWith("import ");
  return { imports: lines.filter(isImport), code: lines.filter((line) => !isImport(line)) };
}

Deno.test("the life of a request takes twelve lines, which do what the README says", async () => {
  const { imports, code } = await codeUnder("The life of a request");
  assert(code.length <= 12, `${code.length} lines`);
  // The test has a database of its own. The line is checked for its types.
  const [opening, ...rest] = code;
  assert(opening!.startsWith("const db = openDatabase("), opening);
  const { makeApp } = await importChecked<Example>(
    `
    ${imports.join("\n").replaceAll('"./', `"${root.href}`)}
    import type { Database } from "${root.href}src/db/mod.ts";
    export function opened() {
      ${opening}
      return db;
    }
    export function makeApp({ db, welcome }: { db: Database; welcome: (email: string) => void }) {
      ${rest.join("\n")}
      return app;
    }`,
    new URL("deno.json", root),
  );

  await using branch = await database.connect();
  const db = branch.open();
  const welcomed: string[] = [];
  const app = makeApp({ db, welcome: (email) => void welcomed.push(email) });
  const user = { id: newUserId(), email: "ann@example.org", name: "Ann" };
  const post = () => app.request("/users", { method: "POST", body: JSON.stringify(user) });

  const response = await post();
  assertEquals([response.status, await response.json()], [201, { id: user.id, version: 1 }]);
  assertEquals(await branch.asAdmin("select email, name from users"), [
    { email: user.email, name: user.name },
  ]);
  assertEquals([welcomed, db.stats().leased], [[user.email], 0]);

  app.onError((_error, c) => c.text("taken", 409));
  assertEquals((await post()).status, 409);
  assertEquals([welcomed.length, db.stats().leased], [1, 0]);
});

/** Every README of the repository, by its path from the root. */
const readmes = await Array.fromAsync(
  glob("**/README.md", { cwd: root, exclude: ["**/.*", "**/node_modules"] }),
  async (path) => ({ path, text: await Deno.readTextFile(new URL(path, root)) }),
);

Deno.test("every task that a README tells to run is in deno.json", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const told = readmes.flatMap(({ path, text }) =>
    Array.from(
      text.matchAll(/(?:deno|deno@[\d.]+) task ([a-z][a-z:-]*)/g),
      ([, task]) => [path, task!],
    )
  );
  assert(told.length > 20, `${told.length} commands were found`);
  assertEquals(told.filter(([, task]) => !(task! in tasks)), []);
});

Deno.test("every file that a README links to or names in a path exists", async () => {
  const missing: string[] = [];
  for (const { path, text } of readmes) {
    const links = Array.from(text.matchAll(/\]\((?!https?:|#)([^)#]+)/g), ([, link]) => link!);
    const named = Array.from(
      text.matchAll(/`((?:src|tests)\/[\w./-]+)`/g),
      ([, name]) => new URL(name!, root).href,
    );
    for (const link of [...links, ...named]) {
      const target = new URL(link, new URL(path, root));
      await Deno.stat(target).catch(() => missing.push(`${path}: ${link}`));
    }
  }
  assertEquals(missing, []);
});

Deno.test("the root's README is short enough to be read to its end", () => {
  const { text } = readmes.find(({ path }) => path === "README.md")!;
  assert(text.split("\n").length <= 150);
});

Deno.test("each folder of src has a README that opens with what the folder is", () => {
  const folders = ["db", "queue", "workers", "deno", "settings", "ops", "http", "dev"];
  const missing = folders.filter((folder) =>
    !readmes.some(({ path, text }) => path === `src/${folder}/README.md` && text.startsWith("# "))
  );
  assertEquals(missing, []);
});
