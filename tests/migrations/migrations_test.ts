import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  type Database,
  sql,
  TRANSACTION_KEYS_INDEX,
  TRANSACTION_KEYS_TABLE,
  trustedSql,
} from "../../src/db/mod.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { migrations } from "../../src/migrations/mod.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const OWNER = "user_service_owner";

Deno.test("the migrations are numbered from 1, in the order in which they are applied", async () => {
  const numbers = migrations.map(({ name }) => Number(/^(\d{4})_[a-z_]+$/.exec(name)?.[1]));
  assertEquals(numbers, migrations.map((_, index) => index + 1));
  const files: string[] = [];
  for await (const { name } of Deno.readDir(new URL("../../src/migrations", import.meta.url))) {
    if (/^\d/.test(name)) files.push(name);
  }
  assertEquals(files.sort(), migrations.map(({ name }) => `${name}.ts`));
});

Deno.test("the migrations of transaction_keys create the table and index that the connection layer exports", () => {
  const textOf = (name: string) => migrations.find((each) => each.name === name)?.statements;
  const folded = (text: string | undefined) => text?.replace(/\s+/g, " ");
  assertEquals(folded(textOf("0004_transaction_keys")?.[0]), folded(TRANSACTION_KEYS_TABLE));
  assertEquals(textOf("0006_transaction_keys_index"), [TRANSACTION_KEYS_INDEX]);
});

Deno.test("a new database gets the migrations in numeric order", async () => {
  await using branch = await database.connect();
  const db = branch.open(branch.envOf(OWNER));
  await emptySchema(db, []);
  const names = migrations.map(({ name }) => name);
  assertEquals(await migrate(branch.envOf(OWNER)), names);
  assertEquals(await db.transaction(applied), names);
});

Deno.test("a role that may not create the tables is told which role may", async () => {
  await using branch = await database.connect();
  const error = await assertRejects(() => migrate(branch.env), Error);
  assertMatch(
    error.message,
    /the role of DATABASE_URL may not: permission denied .*owns the tables$/,
  );
});

Deno.test("a database that was migrated in the old order keeps its data and has the same schema", async () => {
  await using branch = await database.connect();
  const db = branch.open(branch.envOf(OWNER));
  await emptySchema(db, []);
  await migrate(branch.envOf(OWNER));
  const fresh = await db.transaction(schema);

  const dump = await Deno.readTextFile(new URL("dump_of_2026_11_28.sql", import.meta.url));
  await emptySchema(db, dump.replace(/^--.*\n/, "").split(/;\n/).filter((text) => text !== ""));
  const later = migrations.map(({ name }) => name).filter((name) => name > "0008");
  assertEquals(await migrate(branch.envOf(OWNER)), later);
  assertEquals(await db.transaction(schema), fresh);
  const [counts] = await db.transaction((session) =>
    session.commit([sql`select
      (select count(*) from users)::int as users,
      (select count(*) from user_events)::int as events,
      (select count(*) from dead_letters)::int as dead`])
  ).then(([rows]) => rows);
  assertEquals(counts, { users: 2, events: 2, dead: 1 });
});

/** Drops all tables and runs the statements. */
async function emptySchema(db: Database, statements: readonly string[]): Promise<void> {
  const texts = ["drop schema public cascade", "create schema public", ...statements];
  await db.transaction((session) => session.commit(texts.map((text) => trustedSql(text))));
}

type Work<T> = Parameters<typeof Database.prototype.transaction<T>>[0];

const applied: Work<string[]> = async (session) => {
  const rows = await session.query(sql<{ name: string }>`
    select name from migrations order by applied_at, ctid`);
  return rows.map(({ name }) => name);
};

/** Every column, constraint and index as text, independent of the order in which they were created. */
const schema: Work<unknown[]> = async (session) =>
  await session.query(sql`
    select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
      from information_schema.columns where table_schema = 'public'
    union all
    select format('%s %s', conrelid::regclass, pg_get_constraintdef(oid))
      from pg_constraint where connamespace = 'public'::regnamespace
    union all
    select indexdef from pg_indexes where schemaname = 'public'
    order by 1`);
