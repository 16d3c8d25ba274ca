import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Sql, sql, trustedSql } from "../../../src/db/mod.ts";

Deno.test("sql makes a parameter of every value", () => {
  const { text, values } = sql`select ${1}, ${"x'; drop table users"}`;
  assertEquals(text, "select $1, $2");
  assertEquals(values, [1, "x'; drop table users"]);
});

Deno.test("a nested sql becomes part of the text, and its parameters are numbered on", () => {
  const isRecent = sql`created_at > ${"2026-01-01"}`;
  const both = sql`(${isRecent} or version = ${2})`;
  const { text, values } = sql`select * from users where name = ${"Ann"} and ${both} limit ${10}`;
  assertEquals(
    text,
    "select * from users where name = $1 and (created_at > $2 or version = $3) limit $4",
  );
  assertEquals(values, ["Ann", "2026-01-01", 2, 10]);
});

Deno.test("sql joins parts that are adjacent or have no value", () => {
  const { text, values } = sql`${sql`select`} ${sql`1`}${sql`, ${2}`}`;
  assertEquals(text, "select 1, $1");
  assertEquals(values, [2]);
});

Deno.test("sql.identifier() quotes a name", () => {
  const { text, values } = sql`select * from ${sql.identifier('us"ers; --')} where id = ${1}`;
  assertEquals(text, 'select * from "us""ers; --" where id = $1');
  assertEquals(values, [1]);
  for (const name of ["", "a\0b"]) {
    assertThrows(() => sql.identifier(name), TypeError, JSON.stringify(name));
  }
});

Deno.test("trustedSql() does not change its text", () => {
  assertEquals(trustedSql("create table t ()").text, "create table t ()");
});

Deno.test("sql.identifier() quotes a schema and a table apart", () => {
  assertEquals(
    sql`select * from ${sql.identifier("app", "a.b")}`.text,
    'select * from "app"."a.b"',
  );
  assertThrows(() => sql.identifier("app", ""), TypeError, "empty");
});

Deno.test("sql.join() puts values and parts of a statement side by side, and numbers their parameters on", () => {
  const conditions = [sql`a = ${1}`, sql`b = ${2}`];
  const { text, values } = sql`select ${sql.join([3, sql`now()`])} where ${
    sql.join(conditions, sql` and `)
  } limit ${4}`;
  assertEquals(text, "select $1, now() where a = $2 and b = $3 limit $4");
  assertEquals(values, [3, 1, 2, 4]);
  assertEquals(sql.join([1, 2], sql` + ${9} + `).values, [1, 9, 2]);
});

Deno.test("sql.join() refuses to join nothing", () => {
  assertThrows(() => sql.join([]), TypeError, "leave the clause out");
});

Deno.test("sql.values() makes rows, whose items may be parts of a statement", () => {
  const { text, values } = sql`insert into t (a, b) values ${
    sql.values([[1, "x"], [2, sql`default`]])
  } returning a`;
  assertEquals(text, "insert into t (a, b) values ($1, $2), ($3, default) returning a");
  assertEquals(values, [1, "x", 2]);
});

Deno.test("sql.values() refuses rows of unequal length, and no rows or columns", () => {
  assertThrows(() => sql.values([[1, 2], [3]]), TypeError, "row 2 has another length");
  assertThrows(() => sql.values([[1], [2], []]), TypeError, "row 3 has another length");
  assertThrows(() => sql.values([]), TypeError, "there are none");
  assertThrows(() => sql.values([[]]), TypeError, "there are none");
});

Deno.test("sql.array() casts an array to its type, and refuses what is not the name of a type", () => {
  const { text, values } = sql`select * from unnest(${sql.array([1, 2], "int4")})`;
  assertEquals(text, "select * from unnest($1::int4[])");
  assertEquals(values, [[1, 2]]);
  for (
    const type of ["numeric(10, 2)", "app.mood", "timestamp with time zone", "double precision"]
  ) {
    assertEquals(sql.array([], type).text, `$1::${type}[]`);
  }
  for (const type of ["", "int4[]; drop table users", "a'b", "a-b", "int4) or (1", "1a"]) {
    assertThrows(() => sql.array([], type), TypeError, JSON.stringify(type));
  }
});

Deno.test("trustedSql() takes a text with numbered parameters, which cannot be put into another statement", () => {
  const statement = trustedSql("select $2, $1", ["a", "b"]);
  assertEquals([statement.text, statement.values], ["select $2, $1", ["a", "b"]]);
  assertThrows(() => sql`${statement} limit 1`, TypeError, "numbered already");
  assertThrows(() => sql.join([statement]), TypeError, "numbered already");
});

Deno.test("sql is linear in its size: 100,000 values and parts of a statement can be joined", () => {
  const count = 100_000;
  const numbers = Array.from({ length: count }, (_, index) => index);
  const inOne = sql`${sql.join(numbers)}${sql.join(numbers.map((n) => sql`(${n})`))}`;
  assertEquals(inOne.values.length, 2 * count);
  assert(inOne.text.endsWith(`, ($${2 * count})`));
  assertEquals(sql.values(numbers.map((n) => [n])).values.length, count);
});

Deno.test("a template that is used again has the same text and its own values, whatever is put into it", () => {
  const columns = sql`id, name`;
  const select = (list: Sql<unknown>, id: unknown) =>
    sql`select ${list} from users where id = ${id}`;
  const [first, second] = [select(columns, 1), select(columns, 2)];
  assertEquals([first.text, first.values], ["select id, name from users where id = $1", [1]]);
  assertEquals([second.text, second.values], [first.text, [2]]);
  // Other statements in the same place, also where a value was before, and a value where a statement was.
  const other = select(sql`email`, 3);
  assertEquals([other.text, other.values], ["select email from users where id = $1", [3]]);
  const nested = select(columns, sql`any(${[4]})`);
  assertEquals(nested.text, "select id, name from users where id = any($1)");
  assertEquals(nested.values, [[4]]);
  const value = select("id" as unknown as Sql, 5);
  assertEquals([value.text, value.values], ["select $1 from users where id = $2", ["id", 5]]);
  assertEquals(select(columns, 6).values, [6]);
});

Deno.test("a template whose parts have values keeps none of them", () => {
  const find = (condition: Sql<unknown>) => sql`select 1 where ${condition}`;
  assertEquals(find(sql`a = ${1}`).values, [1]);
  assertEquals(find(sql`a = ${2}`).values, [2]);
  assertEquals(find(sql`b = ${3} or b = ${4}`).text, "select 1 where b = $1 or b = $2");
});

Deno.test("strings that are no tagged template, and may change, are read each time", () => {
  const strings = Object.assign(["select ", ""], { raw: ["select ", ""] });
  assertEquals(sql(strings as unknown as TemplateStringsArray, 1).text, "select $1");
  strings[0] = "values ";
  assertEquals(sql(strings as unknown as TemplateStringsArray, 1).text, "values $1");
});
