/** How a socket is closed whose WebSocket offers little to close it with. */
import { assertEquals } from "@std/assert";
import type { NeonClient, WireStream } from "../../../src/db/neon/neon_client.ts";
import { NeonSocket } from "../../../src/db/neon/neon_socket.ts";
import { ScramPassword } from "../../../src/db/neon/scram.ts";

/** A socket over a stream that notes how it is closed. */
function socketOver(ws: WireStream["ws"], { isGone = false } = {}) {
  const calls: string[] = [];
  const stream: WireStream = {
    ...(ws === undefined ? {} : { ws }),
    emit: () => true,
    write: () => true,
    destroy() {
      calls.push("destroy");
      if (isGone) throw new Error("the socket is gone");
    },
  };
  const client = {
    connection: { stream },
    on: () => {},
  } as unknown as NeonClient;
  return {
    socket: new NeonSocket(client, {
      credentials: { password: new ScramPassword("password"), channelBinding: "prefer" },
      onError: () => {},
      onMessage: () => true,
      onLogin: () => {},
    }),
    calls,
  };
}

/** A WebSocket as the standard has it, as npm's `ws` has it, and none at all: the connection was not opened. */
for (
  const [what, ws] of [
    ["a WebSocket without terminate()", { readyState: 1 }],
    ["no WebSocket", null],
    ["a stream that never had one", undefined],
  ] as const
) {
  Deno.test(`terminate() destroys the stream of ${what}`, () => {
    const { socket, calls } = socketOver(ws);
    socket.terminate();
    assertEquals(calls, ["destroy"]);
    socket.noteClosed();
  });
}

Deno.test("terminate() ends a WebSocket that has terminate(), without a goodbye", () => {
  const terminated: string[] = [];
  const { socket, calls } = socketOver({ readyState: 1, terminate: () => terminated.push("ws") });
  socket.terminate();
  assertEquals([calls, terminated], [[], ["ws"]]);
});

Deno.test("terminate() and shut() survive a stream that throws as it is gone", () => {
  const { socket, calls } = socketOver({ readyState: 3 }, { isGone: true });
  socket.terminate();
  socket.close();
  assertEquals(calls, ["destroy", "destroy"]);
  socket.noteClosed();
});

Deno.test("a socket that has ended is not closed again", () => {
  const { socket, calls } = socketOver({ readyState: 3 });
  socket.noteClosed();
  socket.close();
  assertEquals(calls, []);
});
