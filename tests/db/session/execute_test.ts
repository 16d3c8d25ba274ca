/** The whole answer to a statement, and how its rows are read. */
import { assertEquals, assertRejects } from "@std/assert";
import { sql, trustedSql } from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

Deno.test("execute() returns the rows, their count, the command and the columns", async () => {
  await using branch = await database.connect();
  await branch.asAdmin("create table t (id int, name text)");
  await branch.asAdmin("grant all on t to public");
  await using session = branch.open().session();
  assertEquals(
    await session.execute(
      sql`insert into t values ${sql.values([[1, "a"], [2, "b"], [3, "c"]])}`,
    ),
    { rows: [], rowCount: 3, command: "INSERT", columns: [] },
  );
  assertEquals(
    await session.execute(sql<{ id: number }>`update t set name = 'x' where id > 1 returning id`),
    {
      rows: [{ id: 2 }, { id: 3 }],
      rowCount: 2,
      command: "UPDATE",
      columns: [{ name: "id", typeId: 23 }],
    },
  );
  assertEquals((await session.execute(sql`delete from t where id = 9`)).rowCount, 0);
  const empty = await session.execute(sql`select id, name from t where false`);
  assertEquals(empty.columns, [{ name: "id", typeId: 23 }, { name: "name", typeId: 25 }]);
  assertEquals([empty.rowCount, empty.command], [0, "SELECT"]);
  await session.rollback();
});

Deno.test("rowMode: array keeps columns of equal names apart, in execute() and in a stream of many portions", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ readOnly: true });
  const twice = sql`select n as a, n * 10 as a, null as a from generate_series(1, 3) n`;
  const rows = [[1, 10, null], [2, 20, null], [3, 30, null]];
  const { rows: executed, columns } = await session.execute(twice, { rowMode: "array" });
  assertEquals(executed, rows);
  assertEquals(columns.map(({ name }) => name), ["a", "a", "a"]);
  const streamed = await Array.fromAsync(
    session.stream(twice, { rowMode: "array", batchSize: 2 }),
  );
  assertEquals(streamed, rows);
});

Deno.test("parsers of a statement replace those of the session, and those replace the database's", async () => {
  await using branch = await database.connect();
  const db = branch.open({}, undefined, { parsers: { 1700: () => "database", 20: Number } });
  const values = trustedSql("select 1.5::numeric as n, 7::int8 as i");
  await using session = db.session({ readOnly: true, parsers: { 1700: () => "session" } });
  assertEquals(await session.query(values), [{ n: "session", i: 7 }]);
  assertEquals((await session.execute(values, { parsers: { 1700: Number } })).rows, [
    { n: 1.5, i: 7 },
  ]);
  const streamed = session.stream(values, { parsers: { 20: String } });
  assertEquals(await Array.fromAsync(streamed), [{ n: "session", i: "7" }]);
  await using other = db.session({ readOnly: true });
  assertEquals(await other.query(values), [{ n: "database", i: 7 }]);
});

Deno.test("a parser of one statement that fails names the column, and the other statements are read", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ readOnly: true });
  const fails = () => {
    throw new Error("no");
  };
  await assertRejects(
    () => session.execute(sql`select 1 as one`, { rowMode: "array", parsers: { 23: fails } }),
    TypeError,
    '"one"',
  );
  assertEquals(await session.query(sql`select 1 as one`), [{ one: 1 }]);
});

Deno.test("execute() runs a statement with numbered parameters", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ readOnly: true });
  const { rows } = await session.execute(
    trustedSql("select $2::text as b, $1::int as a", [1, "x"]),
  );
  assertEquals(rows, [{ b: "x", a: 1 }]);
});
