/** A peer that has stopped reading and writing: a connect must fail in time and leave no socket. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { ConnectError, NeonDriver } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";

/** Answers the upgrade, and then sends nothing. */
function frozenPeer(): Disposable & {
  url: string;
  loggingIn: Promise<void>;
  hungUp: Promise<void>;
} {
  const [loggingIn, hungUp] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const sockets: Deno.TcpConn[] = [];
  const serve = async () => {
    for await (const socket of listener) {
      sockets.push(socket);
      const request = new Uint8Array(4_096);
      const size = await socket.read(request) ?? 0;
      const text = new TextDecoder().decode(request.subarray(0, size));
      const key = /sec-websocket-key: (.+)\r/i.exec(text)![1]!;
      // https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest("base64");
      await socket.write(new TextEncoder().encode(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
      ));
      // The client has taken the answer once it sends its login.
      await socket.read(request);
      loggingIn.resolve();
      await endOf(socket);
      hungUp.resolve();
    }
  };
  // Ends with an error when the listener or a socket is closed.
  serve().catch(() => {});
  const { port } = listener.addr as Deno.NetAddr;
  return {
    url: `ws://127.0.0.1:${port}/v1`,
    loggingIn: loggingIn.promise,
    hungUp: hungUp.promise,
    [Symbol.dispose]() {
      listener.close();
      for (const socket of sockets) socket.close();
    },
  };
}

/** Resolves when the client has closed the socket, or cut it. */
async function endOf(socket: Deno.TcpConn): Promise<void> {
  try {
    while (await socket.read(new Uint8Array(4_096)) !== null);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
}

for (const pipelineConnect of [true, false]) {
  Deno.test(`a connect to a frozen peer fails at its deadline, and its socket is closed (pipelined: ${pipelineConnect})`, async () => {
    using peer = frozenPeer();
    const driver = new NeonDriver({
      url: "postgresql://user:password@127.0.0.1/database",
      wsProxy: peer.url,
      pipelineConnect,
      webSocketConstructor: DatabaseWebSocket,
    });
    if (!pipelineConnect) {
      await assertRejects(() => driver.connect({ timeoutMs: 50 }), ConnectError, "within 50 ms");
      return;
    }
    const connection = await driver.connect({ timeoutMs: 50 });
    await assertRejects(
      () => connection.flight([{ text: "select 1", values: [] }]),
      ConnectError,
      "within 50 ms",
    );
    assertEquals(connection.state, "closed");
    assertInstanceOf(await connection.closed, ConnectError);
  });
}

for (const pipelineConnect of [true, false]) {
  Deno.test(`a connect to a frozen peer that waits for the login ends at its abort, and its socket at once (pipelined: ${pipelineConnect})`, async () => {
    using peer = frozenPeer();
    const driver = new NeonDriver({
      url: "postgresql://user:password@127.0.0.1/database",
      wsProxy: peer.url,
      pipelineConnect,
      webSocketConstructor: DatabaseWebSocket,
    });
    const gaveUp = new AbortController();
    const connecting = assertRejects(
      () => driver.connect({ timeoutMs: 60_000, signal: gaveUp.signal, untilReady: true }),
      ConnectError,
      "gave up",
    );
    await peer.loggingIn;
    const sinceMs = performance.now();
    gaveUp.abort();
    await Promise.all([connecting, peer.hungUp]);
    // Without its end, the peer would be given a second to answer the close frame.
    const takenMs = performance.now() - sinceMs;
    assert(takenMs < 800, `${takenMs} ms`);
  });
}
