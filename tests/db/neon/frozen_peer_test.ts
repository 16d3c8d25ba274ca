/** A peer that has stopped reading and writing: a connect must fail in time and leave no socket. */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { ConnectError, NeonDriver } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";

/** Answers the upgrade, and then sends nothing. */
function frozenPeer(): Disposable & { url: string } {
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
    }
  };
  serve();
  const { port } = listener.addr as Deno.NetAddr;
  return {
    url: `ws://127.0.0.1:${port}/v1`,
    [Symbol.dispose]() {
      listener.close();
      for (const socket of sockets) socket.close();
    },
  };
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
