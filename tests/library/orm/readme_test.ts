/** The examples of src/library/README.md, type-checked and run as they are written. */
import { assert, assertEquals } from "@std/assert";
import type { Database } from "../../../src/db/mod.ts";
import { ormDatabase } from "./orm_database.ts";

const database = await ormDatabase([
  `create table accounts (id int primary key generated always as identity, owner text not null,
    balance int not null default 0)`,
]);

const library = new URL("../../../src/library/", import.meta.url);

interface Example {
  readonly run: (db: Database, console: Pick<Console, "log">) => Promise<unknown>;
}

/** A module with the first example under a heading as the body of `run`, which returns `account`. */
async function exampleUnder(heading: string): Promise<string> {
  const readme = await Deno.readTextFile(new URL("README.md", library));
  const section = readme.slice(readme.indexOf(`\n## ${heading}\n`));
  const lines = (/```ts\n(.*?)```/s.exec(section)?.[1] ?? "").split("\n");
  const isImport = (line: string) => line.startsWith("import ");
  const imports = lines.filter(isImport).join("\n")
    .replace(/"@user-service\/db\/(\w+)"/g, (_, name) => `"${new URL(`${name}/mod.ts`, library)}"`);
  return `import type { Database } from "${new URL("../db/mod.ts", library)}";
    ${imports}
    export async function run(db: Database, console: Pick<Console, "log">) {
      ${lines.filter((line) => !isImport(line)).join("\n")}
      return account;
    }`;
}

/** Checks the types of a module, and loads it. */
async function load(source: string): Promise<Example> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", new URL("deno.json", import.meta.url).pathname, file],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return await import(new URL(`file://${file}`).href);
  } finally {
    await Deno.remove(file);
  }
}

for (
  const [heading, logged] of [["Drizzle", ["committed"]], ["Kysely", [1n, "committed"]]] as const
) {
  Deno.test(`the example of the README under ${heading}`, () =>
    database.withDatabase(async (db, branch) => {
      await branch.asAdmin("truncate accounts restart identity");
      const { run } = await load(await exampleUnder(heading));
      const seen: unknown[] = [];
      const made = await run(db, { log: (value) => void seen.push(value) });
      assertEquals(made, { id: 1, owner: "Ann", balance: 0 });
      assertEquals(seen, [...logged]);
      assertEquals(await branch.asAdmin("select * from accounts"), [
        { id: 1, owner: "Ann", balance: 10 },
      ]);
    }));
}
