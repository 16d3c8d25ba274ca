import { assertEquals, assertRejects } from "@std/assert";
import { ServerError, sql } from "../../src/db/mod.ts";
import { applyMigrations } from "../../src/migrations/apply.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

function ownerDatabase(branch: LocalBranch) {
  return branch.open(branch.envOf("user_service_owner"));
}

const two = [
  { name: "9001_one", statements: ["create table one (id int)", "insert into one values (1)"] },
  { name: "9002_two", statements: ["create table two (id int)"] },
];

Deno.test("migrate() applies nothing to a migrated database", async () => {
  await using branch = await database.connect();
  assertEquals(await migrate(branch.envOf("user_service_owner")), []);
});

Deno.test("migrations are applied in order and once, even by concurrent calls", async () => {
  await using branch = await database.connect();
  const db = ownerDatabase(branch);
  const applied = await Promise.all([1, 2, 3].map(() => applyMigrations(db, two)));
  assertEquals(applied.flat(), ["9001_one", "9002_two"]);
  const rows = await db.transaction((session) => session.query(sql`select id from one`));
  assertEquals(rows, [{ id: 1 }]);
});

Deno.test("a failed migration leaves nothing behind, and rolls back those before it", async () => {
  await using branch = await database.connect();
  const db = ownerDatabase(branch);
  const broken = [
    { name: "9003_good", statements: ["create table good (id int)"] },
    { name: "9004_bad", statements: ["create table bad (id int)", "create tabel bad"] },
  ];
  await assertRejects(() => applyMigrations(db, broken), ServerError, "syntax error");
  const [row] = await db.transaction((session) =>
    session.query(sql`select to_regclass('good') as good, to_regclass('bad') as bad`)
  );
  assertEquals(row, { good: null, bad: null });
});

Deno.test("the service's role cannot create or drop tables", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  for (const text of [sql`create table mine (id int)`, sql`drop table users`]) {
    const error = await assertRejects(
      () => db.transaction((session) => session.commit([text])),
      ServerError,
    );
    assertEquals(error.sqlState, "42501");
  }
});
