import { assertEquals, assertThrows } from "@std/assert";
import { identifier, sql, trustedSql } from "../../../src/db/mod.ts";

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

Deno.test("identifier() quotes a name", () => {
  const { text, values } = sql`select * from ${identifier('us"ers; --')} where id = ${1}`;
  assertEquals(text, 'select * from "us""ers; --" where id = $1');
  assertEquals(values, [1]);
  for (const name of ["", "a\0b"]) {
    assertThrows(() => identifier(name), TypeError, JSON.stringify(name));
  }
});

Deno.test("trustedSql() does not change its text", () => {
  assertEquals(trustedSql("create table t ()").text, "create table t ()");
});
