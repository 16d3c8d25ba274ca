/** What a driver hands on of the server's errors and notices. The cases need a real server, and use no API of Deno. */
import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import type { Connection, Notice, Statement } from "../../../src/db/driver/driver.ts";
import { ServerError } from "../../../src/db/errors.ts";
import { type DriverCase, selectOne, statement, withConnection } from "./driver_case.ts";

async function errorOf(connection: Connection, ...parts: Statement[]): Promise<ServerError> {
  const { error } = await connection.flight(parts);
  assertInstanceOf(error, ServerError);
  return error;
}

async function noticesOf(
  connection: Connection,
  ...parts: Statement[]
): Promise<{ notices: Notice[]; newest: (string | undefined)[]; error: Error | undefined }> {
  const notices: Notice[] = [];
  const { results, error } = await connection.flight(parts, {
    onNotice: (notice) => void notices.push(notice),
  });
  return { notices, newest: results.map(({ notice }) => notice?.message), error };
}

export const driverMessageCases: readonly DriverCase[] = [
  withConnection("an error names its place in its own statement's text", async (connection) => {
    const error = await errorOf(
      connection,
      selectOne,
      statement("select $1::text, '🐘', nope", "value"),
      selectOne,
    );
    assertEquals(
      [error.severity, error.sqlState, error.position, error.routine],
      // Counted in characters, so that the elephant is one.
      ["ERROR", "42703", "23", "errorMissingColumn"],
    );
    assertStringIncludes(error.message, "nope");
  }),

  withConnection(
    "an error in a procedure names its statement and call stack",
    async (connection) => {
      const error = await errorOf(
        connection,
        statement("do $$ begin execute 'select 1, nope'; end $$"),
      );
      assertEquals(
        [error.internalQuery, error.internalPosition, error.position],
        ["select 1, nope", "11", undefined],
      );
      assertStringIncludes(error.where!, "inline_code_block line 1 at EXECUTE");
    },
  ),

  withConnection("an error names the objects that it is about", async (connection) => {
    const error = await errorOf(
      connection,
      statement("create temporary table things (id int constraint one_each unique)"),
      statement("insert into things values (7), (7)"),
    );
    assertEquals(
      [error.sqlState, error.table, error.constraint, error.detail, error.dataType],
      ["23505", "things", "one_each", "Key (id)=(7) already exists.", undefined],
    );
    assertStringIncludes(error.schema!, "pg_temp");
    const missing = await errorOf(
      connection,
      statement("create temporary table others (id int not null)"),
      statement("insert into others values (null)"),
    );
    assertEquals([missing.table, missing.column], ["others", "id"]);
    const domain = await errorOf(
      connection,
      statement("create domain pg_temp.small as int constraint below_ten check (value < 10)"),
      statement("select 11::pg_temp.small"),
    );
    assertEquals([domain.dataType, domain.constraint], ["small", "below_ten"]);
  }),

  withConnection("an error has the hint of who raised it", async (connection) => {
    const error = await errorOf(
      connection,
      statement("do $$ begin raise 'no' using hint = 'ask', errcode = 'U0001'; end $$"),
    );
    assertEquals([error.message, error.hint, error.sqlState], ["no", "ask", "U0001"]);
  }),

  withConnection("notices come one by one, in order and with their fields", async (connection) => {
    const raise = statement(`do $$ begin
      raise notice 'first';
      raise warning 'second' using detail = 'more', hint = 'ask', errcode = 'U0002';
    end $$`);
    const { notices, newest } = await noticesOf(connection, selectOne, raise, selectOne);
    assertEquals(
      notices.map(({ where: _, routine: __, ...rest }) => rest),
      [
        {
          severity: "NOTICE",
          message: "first",
          code: "00000",
          detail: undefined,
          hint: undefined,
        },
        { severity: "WARNING", message: "second", code: "U0002", detail: "more", hint: "ask" },
      ],
    );
    assertStringIncludes(notices[1]!.where!, "line 3 at RAISE");
    assertEquals(notices[1]!.routine, "exec_stmt_raise");
    assertEquals(newest, [undefined, "second", undefined]);
  }),

  withConnection("a notice before an error comes too", async (connection) => {
    const { notices, error } = await noticesOf(
      connection,
      statement("do $$ begin raise notice 'before'; perform 1 / 0; end $$"),
    );
    assertEquals(notices.map(({ message }) => message), ["before"]);
    assertInstanceOf(error, ServerError);
  }),

  withConnection("a notice of the commit, behind all results, comes too", async (connection) => {
    await connection.flight([
      statement("create temporary table noted (id int)"),
      statement(`create function pg_temp.note() returns trigger language plpgsql
        as $$ begin raise notice 'at commit'; return null; end $$`),
      statement(`create constraint trigger note after insert on noted
        initially deferred for each row execute function pg_temp.note()`),
    ]);
    const { notices } = await noticesOf(connection, statement("insert into noted values (1)"));
    assertEquals(notices.map(({ message }) => message), ["at commit"]);
    const { notices: next } = await noticesOf(connection, selectOne);
    assertEquals(next, []);
  }),

  withConnection("a thousand notices of one statement all come", async (connection) => {
    const { notices } = await noticesOf(
      connection,
      statement("do $$ begin for i in 1..1000 loop raise notice '%', i; end loop; end $$"),
    );
    assertEquals(notices.length, 1_000);
    assertEquals(notices.at(-1)!.message, "1000");
  }),
];
