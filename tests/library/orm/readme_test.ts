/** The examples of src/library/README.md, type-checked and run as they are written. */
import { assertEquals } from "@std/assert";
import type { Database } from "../../../src/db/mod.ts";
import { importChecked } from "../../support/checked_module.ts";
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

for (
  const [heading, logged] of [["Drizzle", ["committed"]], ["Kysely", [1n, "committed"]]] as const
) {
  Deno.test(`the example of the README under ${heading}`, () =>
    database.withDatabase(async (db, branch) => {
      await branch.asAdmin("truncate accounts restart identity");
      const { run } = await importChecked<Example>(
        await exampleUnder(heading),
        new URL("deno.json", import.meta.url),
      );
      const seen: unknown[] = [];
      const made = await run(db, { log: (value) => void seen.push(value) });
      assertEquals(made, { id: 1, owner: "Ann", balance: 0 });
      assertEquals(seen, [...logged]);
      assertEquals(await branch.asAdmin("select * from accounts"), [
        { id: 1, owner: "Ann", balance: 10 },
      ]);
    }));
}
