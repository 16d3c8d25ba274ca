/** How a connection ends, by either side, and the errors that its user gets then. */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ConnectError, ConnectionLostError } from "../../../src/db/errors.ts";
import { type DriverCase, selectOne, statement, withConnection } from "./driver_case.ts";

export const driverEndCases: readonly DriverCase[] = [
  withConnection(
    "a flight is rejected when the connection is cut, and so is the next",
    async (connection, host) => {
      await connection.flight([selectOne]);
      const running = assertRejects(
        () => connection.flight([statement("select pg_sleep(60)")]),
        ConnectionLostError,
      );
      await host.cut(connection);
      await running;
      assertEquals(connection.state, "closed");
      await assertRejects(() => connection.flight([selectOne]), ConnectionLostError);
      assertInstanceOf(await connection.closed, Error);
    },
  ),

  withConnection(
    "an idle connection that is cut is closed, with the reason",
    async (connection, host) => {
      await connection.flight([selectOne]);
      await host.cut(connection);
      assertInstanceOf(await connection.closed, Error);
      assertEquals(connection.state, "closed");
    },
  ),

  withConnection("a flight is rejected when the other side hangs up", async (connection, host) => {
    await connection.flight([selectOne]);
    const running = assertRejects(
      () => connection.flight([statement("select pg_sleep(10)")]),
      ConnectionLostError,
    );
    await host.hangUp(connection);
    await running;
    assertInstanceOf(await connection.closed, Error);
  }),

  withConnection(
    "a flight is rejected when its socket was closed on this side",
    async (connection, host) => {
      await connection.flight([selectOne]);
      host.closeSocket();
      await assertRejects(() => connection.flight([selectOne]), ConnectionLostError);
      assertEquals(connection.state, "closed");
      assertInstanceOf(await connection.closed, Error);
    },
  ),

  withConnection(
    "a first flight is rejected when its socket was closed on this side",
    async (connection, host) => {
      const kind = connection.state === "opening" ? ConnectError : ConnectionLostError;
      host.closeSocket();
      await assertRejects<Error>(() => connection.flight([selectOne]), kind);
      assertInstanceOf(await connection.closed, Error);
    },
  ),

  withConnection(
    "close() resolves when its socket was closed on this side",
    async (connection, host) => {
      await connection.flight([selectOne]);
      host.closeSocket();
      await connection.close({ timeoutMs: 5_000 });
      await connection.closed;
      assertEquals(connection.state, "closed");
    },
  ),

  withConnection(
    "a flight right after the other side hung up is rejected",
    async (connection, host) => {
      await connection.flight([selectOne]);
      await host.hangUp(connection);
      await assertRejects(() => connection.flight([selectOne]), ConnectionLostError);
      assertEquals(connection.state, "closed");
    },
  ),

  withConnection("a flight on a closed connection is rejected", async (connection, host) => {
    await connection.flight([selectOne]);
    await host.hangUp(connection);
    assertInstanceOf(await connection.closed, Error);
    await assertRejects(() => connection.flight([selectOne]), ConnectionLostError);
  }),

  withConnection("cancel() on a closed connection does nothing", async (connection, host) => {
    await connection.flight([selectOne]);
    await host.hangUp(connection);
    await connection.cancel({ timeoutMs: 5_000 });
    assertInstanceOf(await connection.closed, Error);
    await connection.cancel({ timeoutMs: 5_000 });
    await connection.close({ timeoutMs: 5_000 });
    await connection.cancel({ timeoutMs: 5_000 });
  }),

  withConnection(
    "close() ends the connection without an error, and may be called twice",
    async (connection) => {
      await connection.flight([selectOne]);
      await connection.close({ timeoutMs: 5_000 });
      await connection.close({ timeoutMs: 5_000 });
      assertEquals(await connection.closed, undefined);
      assertEquals(connection.state, "closed");
    },
  ),

  withConnection("close() may be called twice at once", async (connection) => {
    await connection.flight([selectOne]);
    await Promise.all([
      connection.close({ timeoutMs: 5_000 }),
      connection.close({ timeoutMs: 5_000 }),
    ]);
    assertEquals(await connection.closed, undefined);
    await assertRejects(() => connection.flight([selectOne]), ConnectionLostError);
  }),

  withConnection("close() during a flight rejects it", async (connection) => {
    await connection.flight([selectOne]);
    const running = assertRejects(
      () => connection.flight([statement("select pg_sleep(1)")]),
      ConnectionLostError,
    );
    await connection.close({ timeoutMs: 5_000 });
    await running;
    assertEquals(connection.state, "closed");
  }),

  withConnection(
    "close() right after the other side hung up resolves",
    async (connection, host) => {
      await connection.flight([selectOne]);
      await host.hangUp(connection);
      await connection.close({ timeoutMs: 5_000 });
      await connection.closed;
      assertEquals(connection.state, "closed");
    },
  ),

  withConnection("close() before the first answer leaves nothing waiting", async (connection) => {
    const opening = connection.state === "opening";
    await connection.close({ timeoutMs: 5_000 });
    assertEquals(connection.state, "closed");
    assertEquals(await connection.closed, undefined);
    await assertRejects<Error>(
      () => connection.flight([selectOne]),
      opening ? ConnectError : ConnectionLostError,
    );
    if (opening) await assertRejects(() => connection.ready, ConnectError);
    else await connection.ready;
  }),

  withConnection("close() rejects a first flight that has no answer yet", async (connection) => {
    const kind = connection.state === "opening" ? ConnectError : ConnectionLostError;
    const first = assertRejects<Error>(
      () => connection.flight([statement("select pg_sleep(1)")]),
      kind,
    );
    await connection.close({ timeoutMs: 5_000 });
    await first;
    assertEquals(await connection.closed, undefined);
  }),
];
