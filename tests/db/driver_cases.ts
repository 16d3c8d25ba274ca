import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import type { Connection, Driver, Statement } from "../../src/db/driver.ts";
import { ConnectionLostError, ServerError } from "../../src/db/errors.ts";

/** One way of having a driver, for one case. */
export interface DriverHost extends AsyncDisposable {
  readonly driver: Driver;
  /** Ends the connection from the server's side, without a word before it. */
  cut(connection: Connection): Promise<void>;
}

function statement(text: string, ...values: unknown[]): Statement {
  return { text, values };
}

/** What pool and session rely on, whatever the driver is. */
export function driverCases(name: string, host: () => Promise<DriverHost>): void {
  function test(
    fact: string,
    run: (connection: Connection, host: DriverHost) => Promise<void>,
  ): void {
    Deno.test(`${name}: ${fact}`, async () => {
      await using running = await host();
      const connection = await running.driver.connect({ timeoutMs: 5_000 });
      try {
        await run(connection, running);
      } finally {
        await connection.close({ timeoutMs: 5_000 });
      }
    });
  }

  test("a flight gives one result for each statement", async (connection) => {
    const answer = await connection.flight([
      statement("select 1 as one"),
      statement("select $1::text as text", "it's"),
    ]);
    assertEquals(answer.results.map(({ rows }) => rows), [[{ one: 1 }], [{ text: "it's" }]]);
    assertEquals(answer.results.map(({ command }) => command), ["SELECT", "SELECT"]);
    assertEquals(answer.error, undefined);
    assertEquals(answer.status, "I");
  });

  test("the status byte follows the transaction", async (connection) => {
    const seen = [];
    for (const text of ["begin", "select 1/0", "rollback"]) {
      const { status } = await connection.flight([statement(text)]);
      assertEquals(connection.status, status);
      seen.push(status);
    }
    assertEquals(seen, ["T", "E", "I"]);
  });

  test("an error stops the flight, keeps the results before it, and the connection", async (connection) => {
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
  });

  test("COMMIT of a failed transaction is answered ROLLBACK", async (connection) => {
    await connection.flight([statement("begin"), statement("select 1/0")]);
    const { results, status } = await connection.flight([statement("commit")]);
    assertEquals(results.map(({ command }) => command), ["ROLLBACK"]);
    assertEquals(status, "I");
  });

  test("a second flight is refused while one is under way", async (connection) => {
    const first = connection.flight([statement("select 1 as one")]);
    await assertRejects(() => connection.flight([statement("select 1 as one")]), TypeError, "busy");
    await first;
  });

  test("a value that cannot be sent is refused, and the connection stays", async (connection) => {
    await connection.flight([statement("select 1 as one")]);
    for (const value of ["a\0b", "\ud800", undefined, () => {}]) {
      await assertRejects(
        () => connection.flight([statement("select $1::text as text", value)]),
        TypeError,
        "Cannot send parameter $1",
      );
    }
    const { results } = await connection.flight([statement("select 1 as one")]);
    assertEquals(results[0]?.rows, [{ one: 1 }]);
  });

  test("a cancel request stops the running statement", async (connection) => {
    await connection.flight([statement("select 1 as one")]);
    const running = connection.flight([statement("select pg_sleep(60)")]);
    await connection.cancel({ timeoutMs: 5_000 });
    const { error } = await running;
    assertInstanceOf(error, ServerError);
    assertEquals(error.sqlState, "57014");
    assertEquals(connection.state, "idle");
  });

  test("ready resolves with the first answer", async (connection) => {
    await connection.flight([statement("select 1 as one")]);
    await connection.ready;
    assertEquals(connection.state, "idle");
  });

  test(
    "a flight is rejected when the connection is cut, and so is the next",
    async (connection, host) => {
      await connection.flight([statement("select 1 as one")]);
      const running = assertRejects(
        () => connection.flight([statement("select pg_sleep(60)")]),
        ConnectionLostError,
      );
      await host.cut(connection);
      await running;
      assertEquals(connection.state, "closed");
      await assertRejects(
        () => connection.flight([statement("select 1 as one")]),
        ConnectionLostError,
      );
      assertInstanceOf(await connection.closed, Error);
    },
  );

  test("an idle connection that is cut is closed, with the reason", async (connection, host) => {
    await connection.flight([statement("select 1 as one")]);
    await host.cut(connection);
    assertInstanceOf(await connection.closed, Error);
    assertEquals(connection.state, "closed");
  });

  test("close() ends the connection, for no reason, and may be called twice", async (connection) => {
    await connection.flight([statement("select 1 as one")]);
    await connection.close({ timeoutMs: 5_000 });
    await connection.close({ timeoutMs: 5_000 });
    assertEquals(await connection.closed, undefined);
    assertEquals(connection.state, "closed");
  });

  test("close() during a flight rejects it", async (connection) => {
    await connection.flight([statement("select 1 as one")]);
    const running = assertRejects(
      () => connection.flight([statement("select pg_sleep(1)")]),
      ConnectionLostError,
    );
    await connection.close({ timeoutMs: 5_000 });
    await running;
    assertEquals(connection.state, "closed");
  });
}
