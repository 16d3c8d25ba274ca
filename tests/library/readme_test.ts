/** The examples of src/library/README.md that need no other package, type-checked and run as they are written. */
import { assertEquals } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { importChecked } from "../support/checked_module.ts";
import { localDatabase } from "../support/local_database.ts";

const root = new URL("../../", import.meta.url);
const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));

interface Example {
  readonly run: (db: Database, console: Pick<Console, "log">) => Promise<void>;
}

/** The examples under a heading, each as a module whose `run` is the code below its imports. */
async function examplesUnder(heading: string): Promise<string[]> {
  const readme = await Deno.readTextFile(new URL("src/library/README.md", root));
  const section = readme.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
  return Array.from(section.matchAll(/```ts\n(.*?)```/gs), ([, code]) => {
    const isImport = (line: string) => line.startsWith("import ");
    const lines = code!.split("\n");
    const imports = lines.filter(isImport).join("\n").replace(
      /"@user-service\/db(\/\w+)?"/g,
      (_, entry) => `"${new URL(exports[`.${entry ?? ""}`], root)}"`,
    );
    return `import type { Database } from "${new URL("src/db/mod.ts", root)}";
      ${imports}
      export async function run(db: Database, console: Pick<Console, "log">): Promise<void> {
        void db;
        ${lines.filter((line) => !isImport(line)).join("\n")}
      }`;
  });
}

const LOGGED: [heading: string, logged: unknown[][][]][] = [
  ["Libraries that take a pool of node-postgres", [[[[{ big: "7" }], 1]]]],
  ["Tests of an app", [[[[{ owner: "Ann" }]]], [[[{ one: 1 }]]]]],
];

for (const [heading, logged] of LOGGED) {
  Deno.test(`the examples of the README under ${heading}`, async () => {
    const database = await localDatabase();
    await using branch = await database.connect();
    const db = branch.open(branch.envOf("postgres"));
    await branch.asAdmin("create table accounts (id serial primary key, owner text not null)");
    const examples = await examplesUnder(heading);
    const seen: unknown[][][] = [];
    for (const example of examples) {
      const lines: unknown[][] = [];
      const { run } = await importChecked<Example>(example, new URL("deno.json", root));
      await run(db, { log: (...values) => void lines.push(values) });
      seen.push(lines);
    }
    assertEquals(seen, logged);
    const kept = heading.startsWith("Libraries") ? [{ owner: "Ann" }] : [];
    assertEquals(await branch.asAdmin("select owner from accounts"), kept);
  });
}
