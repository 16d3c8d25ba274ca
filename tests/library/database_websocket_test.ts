/** What a failed connect says on Deno: the cause that the relay knows, not the status of its answer. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ConnectError, NeonDriver } from "../../src/db/mod.ts";
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { DatabaseWebSocket } from "../../src/library/deno/database_websocket.ts";
import { echo, Peer } from "../support/relay_peers.ts";

async function messageOf(
  { wsProxy, address, timeoutMs = 10_000 }: {
    wsProxy: string;
    address: string;
    timeoutMs?: number;
  },
): Promise<string> {
  const driver = new NeonDriver({
    url: `postgresql://user:secret@${address}/db`,
    wsProxy,
    pipelineConnect: false,
    webSocketConstructor: DatabaseWebSocket,
  });
  const { message } = await assertRejects(() => driver.connect({ timeoutMs }), ConnectError);
  return message;
}

Deno.test("a relay's refusal is the connect error: what it could not reach, what it serves, that its path changed", async () => {
  const peer = new Peer(echo);
  const { address } = peer;
  await using relay = await startRelay({ targets: peer.targets });
  const wsProxy = relay.url;
  await peer[Symbol.asyncDispose]();
  assertMatch(
    await messageOf({ wsProxy, address }),
    new RegExp(`^Cannot connect to PostgreSQL: the relay could not reach ${address}: .*refused`),
  );
  assertMatch(
    await messageOf({ wsProxy, address: "127.0.0.1:1" }),
    new RegExp(`^Cannot connect to PostgreSQL: the relay serves only ${address}.*"127.0.0.1:1"`),
  );
  const old = wsProxy.replace(/\w+$/, "0".repeat(32));
  assertMatch(
    await messageOf({ wsProxy: old, address }),
    /^Cannot connect to PostgreSQL: the relay has another path, .*DATABASE_WS_PROXY.* \(status 404\)$/,
  );
});

/** A server that answers every upgrade as `answer` does. */
async function answering(
  answer: (response: ServerResponse) => void,
  run: (wsProxy: string) => Promise<void>,
): Promise<void> {
  const server = createServer((_request, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  } finally {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}

const address = "127.0.0.1:5432";

Deno.test("of another server's answer the error has the status, and only a line of plain text", async () => {
  const html = (response: ServerResponse) =>
    void response.writeHead(502, { "content-type": "text/html" }).end("<h1>nginx</h1>");
  await answering(html, async (wsProxy) => {
    assertEquals(
      await messageOf({ wsProxy, address }),
      "Cannot connect to PostgreSQL: the server refused the WebSocket: status 502 Bad Gateway",
    );
  });
  const odd = (response: ServerResponse) =>
    void response.writeHead(403, { "content-type": "text/plain" })
      .end(`\x1b[31mno\x07\u009b ${"x".repeat(100_000)}\nsecond line`);
  await answering(odd, async (wsProxy) => {
    const message = await messageOf({ wsProxy, address });
    assertMatch(message, /^Cannot connect to PostgreSQL: \[31mno +x+ \(status 403\)$/);
    assert(message.length < 1_100, `${message.length}`);
  });
  const empty = (response: ServerResponse) =>
    void response.writeHead(500, { "content-type": "text/plain" }).end();
  await answering(empty, async (wsProxy) => {
    assertMatch(await messageOf({ wsProxy, address }), /refused the WebSocket: status 500$/);
  });
});

Deno.test("an answer that never ends delays the error by a second at most", async () => {
  const endless = (response: ServerResponse) =>
    void response.writeHead(503, { "content-type": "text/plain" }).write("busy");
  await answering(endless, async (wsProxy) => {
    assertMatch(await messageOf({ wsProxy, address }), /: busy \(status 503\)$/);
    assertMatch(await messageOf({ wsProxy, address, timeoutMs: 50 }), /no answer within 50 ms/);
  });
});
