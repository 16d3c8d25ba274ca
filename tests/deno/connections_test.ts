import { assertEquals } from "@std/assert";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Connections } from "../../src/deno/connections.ts";

/** What `Connections` uses of a socket. */
class FakeSocket extends EventEmitter {
  isDestroyed = false;

  constructor(readonly remoteAddress: string) {
    super();
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit("close");
  }
}

Deno.test("a client's connections are bounded by IPv4 address and by IPv6 /64, and given back", () => {
  const refused: string[] = [];
  const connections = new Connections(
    { max: 100, maxPerClient: 2 },
    (reason, client) => refused.push(`${client} ${reason}`),
  );
  const open = (address: string) => {
    const socket = new FakeSocket(address);
    connections.admit(socket as unknown as Socket);
    return socket;
  };
  const isAdmitted = (address: string) => !open(address).isDestroyed;
  const first = open("2001:db8::1");
  assertEquals(isAdmitted("2001:db8:0:0:1:2:3:4"), true);
  assertEquals(isAdmitted("2001:db8::ffff"), false);
  assertEquals(isAdmitted("2001:db8:0:1::1"), true);
  assertEquals(["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(isAdmitted), [true, true, true]);
  assertEquals(isAdmitted("192.0.2.1"), false);
  // An IPv4 client of a socket for both versions is no IPv6 network.
  assertEquals(["::ffff:192.0.2.3", "::ffff:192.0.2.4"].map(isAdmitted), [true, true]);
  assertEquals(["::ffff:192.0.2.5", "::ffff:192.0.2.3"].map(isAdmitted), [true, true]);
  first.destroy();
  assertEquals(isAdmitted("2001:db8::ffff"), true);
  assertEquals(refused, [
    "2001:db8:0:0::/64 client has too many",
    "192.0.2.1 client has too many",
  ]);
});

Deno.test("one look closes a bounded number of connections that are idle for too long", async () => {
  const connections = new Connections({ max: 1_000, maxPerClient: 1_000 }, () => {});
  const sockets = Array.from({ length: 600 }, () => new FakeSocket("192.0.2.1"));
  for (const socket of sockets) {
    connections.admit(socket as unknown as Socket);
    connections.enqueue(socket as unknown as Socket, () => Promise.resolve());
  }
  await Promise.resolve();
  await Promise.resolve();
  const lookedAt = performance.now() + 1_000;
  const open = Array.from({ length: 4 }, () => {
    connections.destroyIdleFor(1_000, lookedAt);
    return connections.size;
  });
  assertEquals(open, [344, 88, 0, 0]);
});
