/** Cases for drivers with a real server, as the scripted driver has no portals and parsers. They use no API of Deno. */
import { assertEquals, assertInstanceOf } from "@std/assert";
import { ServerError } from "../../../src/db/errors.ts";
import { type DriverCase, selectOne, statement, withConnection } from "./driver_case.ts";
import { driverMessageCases } from "./driver_message_cases.ts";

export const driverPortalCases: readonly DriverCase[] = [
  withConnection(
    "a portal returns its rows in portions, one for each fetch",
    async (connection) => {
      const portal = { name: "three", maxRows: 2 };
      const rows = { ...statement("select n from generate_series(1, 3) n"), portal };
      const first = await connection.flight([statement("begin"), rows]);
      assertEquals(first.results[1], {
        rows: [{ n: 1 }, { n: 2 }],
        columns: [{ name: "n", typeId: 23 }],
        rowCount: 2,
        command: "",
        isSuspended: true,
      });
      const { results, status } = await connection.flight([selectOne, { fetch: portal }]);
      assertEquals(results.map(({ rows }) => rows), [[{ one: 1 }], [{ n: 3 }]]);
      assertEquals([results[1]?.command, results[1]?.isSuspended], ["SELECT", undefined]);
      assertEquals(status, "T");
    },
  ),

  withConnection("closing a portal never fails, and has a result", async (connection) => {
    const portal = { name: "some", maxRows: 1 };
    const close = { close: portal };
    const none = { rows: [], columns: [], rowCount: 0, command: "" };
    const rows = { ...statement("select n from generate_series(1, 3) n"), portal };
    assertEquals((await connection.flight([close])).results, [none]);
    const closed = await connection.flight([statement("begin"), rows, close, selectOne]);
    assertEquals(closed.results[2], none);
    const { error } = await connection.flight([{ fetch: portal }]);
    assertInstanceOf(error, ServerError);
    assertEquals(error.sqlState, "34000");
    assertEquals(await connection.flight([close]), { results: [none], status: "E" });
  }),

  withConnection(
    "a statement's row mode and parsers are its own, and a fetch has its own too",
    async (connection) => {
      const portal = { name: "two", maxRows: 1 };
      const twice = statement("select n::int8 as n, n as n from generate_series(1, 2) n");
      const rowMode = "array";
      const { results } = await connection.flight([
        statement("begin"),
        { ...twice, portal, rowMode, parsers: { 20: String } },
        { fetch: portal, rowMode },
        twice,
      ], { parsers: { 20: Number } });
      const rows: unknown[] = results.map(({ rows }) => rows);
      assertEquals(rows, [[], [["1", 1]], [[2, 2]], [{ n: 1 }, { n: 2 }]]);
      const columns = [{ name: "n", typeId: 20 }, { name: "n", typeId: 23 }];
      assertEquals(results.map(({ columns }) => columns), [[], columns, columns, columns]);
    },
  ),

  withConnection("a flight uses the parsers that it is given", async (connection) => {
    const seven = statement("select 7::int8 as seven");
    const { results: [own] } = await connection.flight([seven], { parsers: { 20: Number } });
    const { results: [usual] } = await connection.flight([seven]);
    assertEquals([own?.rows, usual?.rows], [[{ seven: 7 }], [{ seven: 7n }]]);
  }),

  ...driverMessageCases,
];
