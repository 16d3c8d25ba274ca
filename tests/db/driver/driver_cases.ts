/**
 * The behaviour of a driver that the pool and the session rely on, for every driver and runtime. The cases use no API of
 * Deno: they are bundled into a Worker too.
 */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ServerError } from "../../../src/db/errors.ts";
import { type DriverCase, selectOne, statement, withConnection } from "./driver_case.ts";
import { driverEndCases } from "./driver_end_cases.ts";

export const driverCases: readonly DriverCase[] = [
  withConnection("a flight returns one result for each statement", async (connection) => {
    const answer = await connection.flight([
      statement("select 1 as one"),
      statement("select $1::text as text", "it's"),
    ]);
    assertEquals(answer.results.map(({ rows }) => rows), [[{ one: 1 }], [{ text: "it's" }]]);
    assertEquals(answer.results.map(({ command }) => command), ["SELECT", "SELECT"]);
    assertEquals(answer.error, undefined);
    assertEquals(answer.status, "I");
  }),

  withConnection("a static statement runs each time it is sent", async (connection) => {
    const repeated = { ...statement("select $1::text as text", "again"), isStatic: true } as const;
    for (let turn = 0; turn < 2; turn++) {
      const { results } = await connection.flight([repeated, selectOne, repeated]);
      assertEquals(results.map(({ command }) => command), ["SELECT", "SELECT", "SELECT"]);
      assertEquals(results[1]!.rows, [{ one: 1 }]);
    }
  }),

  withConnection("the status byte follows the transaction", async (connection) => {
    const seen = [];
    for (const text of ["begin", "select 1/0", "rollback"]) {
      const { status } = await connection.flight([statement(text)]);
      assertEquals(connection.status, status);
      seen.push(status);
    }
    assertEquals(seen, ["T", "E", "I"]);
  }),

  withConnection(
    "an error stops the flight, and the earlier results and the connection stay usable",
    async (connection) => {
      const answer = await connection.flight([
        statement("begin"),
        statement("select 1 as one"),
        statement("select 1/0"),
        statement("select 1 as one"),
      ]);
      assertEquals(answer.results.length, 2);
      assertInstanceOf(answer.error, ServerError);
      assertEquals(answer.error.sqlState, "22012");
      assertEquals(answer.status, "E");
      assertEquals(connection.state, "idle");
    },
  ),

  withConnection("COMMIT of a failed transaction is answered ROLLBACK", async (connection) => {
    await connection.flight([statement("begin"), statement("select 1/0")]);
    const { results, status } = await connection.flight([statement("commit")]);
    assertEquals(results.map(({ command }) => command), ["ROLLBACK"]);
    assertEquals(status, "I");
  }),

  withConnection("a second flight is refused while one is under way", async (connection) => {
    const first = connection.flight([selectOne]);
    await assertRejects(() => connection.flight([selectOne]), TypeError, "busy");
    await first;
  }),

  withConnection(
    "a value that cannot be sent is refused, and the connection stays usable",
    async (connection) => {
      await connection.flight([selectOne]);
      for (const value of ["a\0b", "\ud800", undefined, () => {}]) {
        await assertRejects(
          () => connection.flight([statement("select $1::text as text", value)]),
          TypeError,
          "Cannot send parameter $1",
        );
      }
      const { results } = await connection.flight([selectOne]);
      assertEquals(results[0]?.rows, [{ one: 1 }]);
    },
  ),

  withConnection("a cancel request stops the running statement", async (connection) => {
    await connection.flight([selectOne]);
    let answered = false;
    const running = connection.flight([statement("select pg_sleep(60)")])
      .finally(() => answered = true);
    // The server ignores a cancel request that arrives before the statement.
    while (!answered) await connection.cancel({ timeoutMs: 5_000 });
    const { error } = await running;
    assertInstanceOf(error, ServerError);
    assertEquals(error.sqlState, "57014");
    assertEquals(connection.state, "idle");
  }),

  withConnection("a cancel request gives up after its timeout", async (connection) => {
    await connection.flight([selectOne]);
    await connection.cancel({ timeoutMs: 0 });
    await connection.close({ timeoutMs: 5_000 });
    assertEquals(await connection.closed, undefined);
  }),

  withConnection("ready resolves with the first answer", async (connection) => {
    await connection.flight([selectOne]);
    await connection.ready;
    assertEquals(connection.state, "idle");
  }),

  ...driverEndCases,
];
