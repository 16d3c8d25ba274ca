import { assertEquals } from "@std/assert";
import { shares } from "./profile_shares.ts";

Deno.test("a profile is summed by room and function, without the idle time", () => {
  const frame = (id: number, functionName: string, url: string) => (
    { id, callFrame: { functionName, url, lineNumber: 6 } }
  );
  const { rooms, functions } = shares({
    nodes: [
      frame(1, "(idle)", ""),
      frame(2, "read", "file:///repo/src/db/pool/pool.ts"),
      frame(3, "send", "file:///cache/npm/registry.example/ws/8.23.0/lib/sender.js"),
      frame(4, "(garbage collector)", ""),
      frame(5, "", "ext:deno_node/net.ts"),
    ],
    samples: [1, 2, 3, 2, 4, 5],
    timeDeltas: [900, 30, 20, 20, 20, 10],
  });
  assertEquals(rooms, [
    { name: "src/db/pool", share: 0.5 },
    { name: "npm ws", share: 0.2 },
    { name: "garbage collection", share: 0.2 },
    { name: "ext:deno_node", share: 0.1 },
  ]);
  assertEquals(functions.map(({ name }) => name), [
    "read pool/pool.ts:7",
    "send lib/sender.js:7",
    "(garbage collector)",
    "(anonymous) ext:deno_node/net.ts:7",
  ]);
});
