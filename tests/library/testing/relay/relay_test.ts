import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type AddressInfo, createServer } from "node:net";
import { startRelay } from "../../../../src/library/testing/relay/relay.ts";
import {
  Client,
  CLOSE_FRAME_PAYLOAD_BYTES,
  DeafPeer,
  echo,
  frames,
  handshake,
  maskedFrame,
  MIB,
  once,
  pathOf,
  pattern,
  Peer,
  readExactly,
  relayTo,
  same,
  sizeOf,
  standstill,
  upgradeAnswer,
  writeAll,
} from "../../../support/relay_peers.ts";

/** More than the kernel's socket buffers on both sides of the relay can hold. */
const BUFFERS_BYTES = 32 * MIB;

function relayTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 20_000 });
}

relayTest("the relay carries bytes both ways", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  const client = await Client.open(relay, server.address);
  client.send(Uint8Array.of(1, 2, 3));
  assertEquals(await client.receive(3), Uint8Array.of(1, 2, 3));
  await client.close();
});

relayTest("a result of 100 MB arrives whole, followed by the close frame", async () => {
  await using server = new Peer(async (connection) => {
    for (let sent = 0; sent < 100; sent++) await writeAll(connection, pattern(sent * MIB, MIB));
  });
  await using relay = await relayTo(server);
  const socket = new WebSocket(`${relay.url}?address=${server.address}`);
  socket.binaryType = "arraybuffer";
  let size = 0;
  let faults = 0;
  socket.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    if (!same(bytes, pattern(size, bytes.length))) faults++;
    size += bytes.length;
  };
  const { code } = await once<CloseEvent>(socket, "close");
  assertEquals({ size, faults, code }, { size: 100 * MIB, faults: 0, code: 1000 });
});

relayTest("one message reaches the server as one write and is observed once", async () => {
  const reads: number[] = [];
  await using server = new Peer(async (connection) => {
    const buffer = new Uint8Array(MIB);
    for (let size; (size = await connection.read(buffer)) !== null;) {
      reads.push(size);
      await connection.write(Uint8Array.of(1));
    }
  });
  const counted: number[] = [];
  await using relay = await relayTo(server, {
    observe: {
      message: (_id, direction, bytes) => {
        if (direction === "toServer") counted.push(bytes.length);
      },
    },
  });
  const client = await Client.open(relay, server.address);
  for (const size of [20_000, 1, 30_000]) {
    client.send(new Uint8Array(size));
    await client.receive(1);
  }
  assertEquals(reads, [20_000, 1, 30_000]);
  assertEquals(counted, [20_000, 1, 30_000]);
  await client.close();
});

relayTest(
  "the observer sees the connection open, its messages and its close, in order",
  async () => {
    await using server = new Peer(echo);
    const seen: unknown[] = [];
    await using relay = await relayTo(server, {
      observe: {
        open: (id) => seen.push(["open", id]),
        message: (id, direction, bytes) => seen.push([id, direction, [...bytes]]),
        close: (id) => seen.push(["close", id]),
      },
    });
    const client = await Client.open(relay, server.address);
    client.send(Uint8Array.of(7));
    await client.receive(1);
    await client.close();
    await relay.close();
    assertEquals(seen, [["open", 1], [1, "toServer", [7]], [1, "toClient", [7]], ["close", 1]]);
  },
);

relayTest(
  "a small message does not wait for the acknowledgement of the one before it",
  async () => {
    const ROUNDS = 50;
    let firstPassed = Promise.withResolvers<void>();
    await using server = new Peer(async (connection) => {
      for (;;) {
        await readExactly(connection, 2);
        firstPassed = Promise.withResolvers();
        await connection.write(Uint8Array.of(1));
        // Written at once, both bytes would leave the relay as one message.
        await firstPassed.promise;
        await connection.write(Uint8Array.of(2));
      }
    }, echo);
    await using relay = await relayTo(server, {
      observe: {
        message: (id, direction) => id === 1 && direction === "toClient" && firstPassed.resolve(),
      },
    });
    using socket = await handshake(relay, server.address);
    // Deno's WebSocket would itself hold back the second message.
    socket.setNoDelay(true);
    // Round trips on a second connection measure the time, so that a slow machine changes nothing.
    const other = await Client.open(relay, server.otherAddress);
    let roundTrips = 0;
    let isDone = false;
    const counting = (async () => {
      for (; !isDone; roundTrips++) {
        other.send(Uint8Array.of(0));
        await other.receive(1);
      }
    })();
    for (let round = 0; round < ROUNDS; round++) {
      await writeAll(socket, maskedFrame(Uint8Array.of(1)));
      await writeAll(socket, maskedFrame(Uint8Array.of(2)));
      await readExactly(socket, 2 * 3);
    }
    isDone = true;
    await counting;
    await other.close();
    // With Nagle's algorithm each round waits some 40 ms for a delayed acknowledgement: over a thousand round trips.
    assert(roundTrips < 20 * ROUNDS, `${roundTrips} round trips beside ${ROUNDS} rounds`);
  },
);

relayTest("a client that does not read stops the server and loses no bytes", async () => {
  const total = 100 * MIB;
  let written = 0;
  await using server = new Peer(async (connection) => {
    while (written < total) {
      written += await connection.write(pattern(written, Math.min(MIB, total - written)));
    }
  }, echo);
  await using relay = await relayTo(server);
  using socket = await handshake(relay, server.address);
  await standstill(relay, server.otherAddress, () => written);
  assert(written < BUFFERS_BYTES, `the relay took ${written} bytes`);

  let size = 0;
  for await (const payload of frames(socket)) size += payload.length;
  assertEquals({ written, size }, { written: total, size: total + CLOSE_FRAME_PAYLOAD_BYTES });
});

relayTest("a server that does not read stops the client and loses no bytes", async () => {
  const total = 64 * MIB;
  const reading = Promise.withResolvers<void>();
  const received = Promise.withResolvers<number>();
  await using server = new Peer(async (connection) => {
    await reading.promise;
    received.resolve(await sizeOf(connection));
  }, echo);
  await using relay = await relayTo(server);
  const client = await Client.open(relay, server.address);
  for (let sent = 0; sent < total; sent += MIB / 16) client.send(new Uint8Array(MIB / 16));
  const taken = () => total - client.socket.bufferedAmount;
  await standstill(relay, server.otherAddress, taken);
  assert(taken() < BUFFERS_BYTES, `the relay took ${taken()} bytes`);

  reading.resolve();
  await client.close();
  assertEquals(await received.promise, total);
});

relayTest(
  "after the server closes its side, the relay closes the client and the server's connection",
  async () => {
    const ended = Promise.withResolvers<number | null>();
    await using server = new Peer(async (connection) => {
      await connection.write(Uint8Array.of(9));
      await connection.closeWrite();
      ended.resolve(await connection.read(new Uint8Array(1)));
    });
    await using relay = await relayTo(server);
    const client = await Client.open(relay, server.address);
    assertEquals(await client.receive(1), Uint8Array.of(9));
    assertEquals((await client.closed).code, 1000);
    assertEquals(await ended.promise, null);
  },
);

relayTest(
  "after the server closes its side, the relay closes a client whose messages the server did not read",
  async () => {
    const over = Promise.withResolvers<void>();
    const stalled = Promise.withResolvers<void>();
    await using server = new Peer(async (connection) => {
      await stalled.promise;
      await connection.closeWrite();
      await over.promise;
    }, echo);
    let passed = 0;
    await using relay = await relayTo(server, {
      observe: { message: (id, _direction, bytes) => void (id === 1 && (passed += bytes.length)) },
    });
    const client = await Client.open(relay, server.address);
    for (let sent = 0; sent < 64; sent++) client.send(new Uint8Array(MIB));
    await standstill(relay, server.otherAddress, () => passed);
    stalled.resolve();
    assertEquals((await client.closed).code, 1000);
    over.resolve();
  },
);

relayTest(
  "after the server resets its connection, the relay closes the client with 1011",
  async () => {
    const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await using relay = await startRelay({ targets: [{ hostname: "127.0.0.1", port }] });
    const client = await Client.open(relay, `127.0.0.1:${port}`);
    client.send(new Uint8Array(1));
    assertEquals((await client.closed).code, 1011);
    await new Promise((resolve) => server.close(resolve));
  },
);

relayTest(
  "after the client closes, the server gets all that it sent, then the end of the connection",
  async () => {
    const reading = Promise.withResolvers<void>();
    const received = Promise.withResolvers<number>();
    await using server = new Peer(async (connection) => {
      await reading.promise;
      received.resolve(await sizeOf(connection));
    });
    await using relay = await relayTo(server);
    const client = await Client.open(relay, server.address);
    // More than the kernel buffers, so the relay still holds some bytes when the client is gone.
    client.send(new Uint8Array(32 * MIB));
    await client.close();
    reading.resolve();
    assertEquals(await received.promise, 32 * MIB);
  },
);

relayTest(
  "after a client vanishes, the server's side ends while the relay still reads from it",
  async () => {
    const events: string[] = [];
    const closed = Promise.withResolvers<void>();
    await using server = new Peer(async (connection) => {
      assertEquals(await connection.read(new Uint8Array(1)), null);
      events.push("the server read the end");
      await connection.write(Uint8Array.of(1));
    });
    await using relay = await relayTo(server, {
      observe: {
        message: (_id, direction) => events.push(direction),
        close: () => closed.resolve(void events.push("the relay closed the connection")),
      },
    });
    const socket = await handshake(relay, server.address);
    socket.close();
    await closed.promise;
    // A relay that waits for its timeout closes the connection before the server reads the end.
    assertEquals(events, [
      "the server read the end",
      "toClient",
      "the relay closed the connection",
    ]);
  },
);

relayTest(
  "after a client vanishes with its result unread, the server's writes fail",
  async () => {
    const failed = Promise.withResolvers<unknown>();
    await using server = new Peer(async (connection) => {
      for (;;) await connection.write(new Uint8Array(MIB)).catch(fail);
      function fail(error: unknown): never {
        failed.resolve(error);
        throw error;
      }
    });
    await using relay = await relayTo(server);
    const socket = await handshake(relay, server.address);
    await socket.read(new Uint8Array(MIB));
    socket.close();
    assert(await failed.promise instanceof Error);
  },
);

relayTest("a text frame closes the client with 1003", async () => {
  await using server = new Peer(echo);
  await using relay = await relayTo(server);
  const client = await Client.open(relay, server.address);
  client.socket.send("select 1");
  assertEquals((await client.closed).code, 1003);
});

relayTest("an invalid handshake is a 400 and closes the connection to the server", async () => {
  const ended = Promise.withResolvers<number | null>();
  await using server = new Peer(async (connection) => {
    ended.resolve(await connection.read(new Uint8Array(1)));
  });
  await using relay = await relayTo(server);
  const path = `${pathOf(relay)}?address=${server.address}`;
  assertMatch(
    await upgradeAnswer(relay, path, { version: "Sec-WebSocket-Version: 1" }),
    /^HTTP\/1.1 400 /,
  );
  assertEquals(await ended.promise, null);
});

relayTest("a server that refuses connections is a 502", async () => {
  const server = new Peer(echo);
  await server[Symbol.asyncDispose]();
  await using relay = await relayTo(server);
  const answer = await upgradeAnswer(relay, `${pathOf(relay)}?address=${server.address}`);
  assertMatch(answer, /^HTTP\/1.1 502 /);
  assertStringIncludes(answer, `the relay could not reach ${server.address}: Connection refused`);
});

relayTest("a server that does not answer is a 502 after the dial timeout", async () => {
  using server = await DeafPeer.listen();
  await using relay = await startRelay({ targets: [server.target], dialTimeoutMs: 50 });
  const answer = await upgradeAnswer(relay, `${pathOf(relay)}?address=${server.address}`);
  assertMatch(answer, /^HTTP\/1.1 502 /);
  assertStringIncludes(answer, "no answer within 50 ms");
});

relayTest("close() ends a dial in progress", async () => {
  using server = await DeafPeer.listen();
  await using relay = await startRelay({ targets: [server.target], dialTimeoutMs: 60_000 });
  const answer = upgradeAnswer(relay, `${pathOf(relay)}?address=${server.address}`);
  // The relay answers this request only after it has seen the one above.
  await (await fetch(`http://127.0.0.1:${relay.port}/`)).body?.cancel();
  await relay.close();
  assertMatch(await answer, /^HTTP\/1.1 502 /);
});

relayTest("close() closes clients with 1001 and servers, also when called twice", async () => {
  const ended = Promise.withResolvers<number | null>();
  await using server = new Peer(async (connection) => {
    ended.resolve(await connection.read(new Uint8Array(1)));
  });
  await using relay = await relayTo(server);
  const client = await Client.open(relay, server.address);
  await Promise.all([relay.close(), relay.close()]);
  assertEquals((await client.closed).code, 1001);
  assertEquals(await ended.promise, null);
});

relayTest("close() does not wait for a client that neither reads nor answers", async () => {
  await using server = new Peer(async (connection) => {
    for (;;) await connection.write(new Uint8Array(MIB));
  }, echo);
  let passed = 0;
  await using relay = await relayTo(server, {
    observe: { message: (id, _direction, bytes) => void (id === 1 && (passed += bytes.length)) },
  });
  using _socket = await handshake(relay, server.address);
  await standstill(relay, server.otherAddress, () => passed);
  await relay.close();
});

relayTest("close() does not wait for a server that does not read", async () => {
  const over = Promise.withResolvers<void>();
  await using server = new Peer(() => over.promise, echo);
  let passed = 0;
  await using relay = await relayTo(server, {
    observe: { message: (id, _direction, bytes) => void (id === 1 && (passed += bytes.length)) },
  });
  const client = await Client.open(relay, server.address);
  for (let sent = 0; sent < 64; sent++) client.send(new Uint8Array(MIB));
  await standstill(relay, server.otherAddress, () => passed);
  await relay.close();
  await client.closed;
  over.resolve();
});
