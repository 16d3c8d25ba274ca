import { assertEquals } from "@std/assert";
import type { Socket } from "node:net";
import { WriteWatch } from "../../src/deno/write_watch.ts";

/** What `WriteWatch` uses of a socket. */
class FakeSocket {
  bytesWritten = 5_000;
  isCut = false;

  constructor(public writableLength: number) {}

  destroy(): void {
    this.isCut = true;
  }
}

const cut = (watch: WriteWatch, sockets: readonly FakeSocket[], nowMs: number) =>
  watch.cut(sockets as unknown as readonly Socket[], nowMs);

Deno.test("a reader that takes nothing is cut, and one whose backlog is as long at each check is not", () => {
  const watch = new WriteWatch({ timeoutMs: 30_000 });
  const [stalled, busy, idle] = [new FakeSocket(1_000), new FakeSocket(1_000), new FakeSocket(0)];
  for (let nowMs = 0; nowMs < 30_000; nowMs += 1_000) {
    cut(watch, [stalled, busy, idle], nowMs);
    assertEquals(stalled.isCut, false);
    busy.bytesWritten += 1_000;
  }
  cut(watch, [stalled, busy, idle], 30_000);
  assertEquals([stalled, busy, idle].map(({ isCut }) => isCut), [true, false, false]);
});

Deno.test("the time of a reader begins anew when it takes something, and when it has gone", () => {
  const watch = new WriteWatch({ timeoutMs: 30_000 });
  const slow = new FakeSocket(1_000);
  cut(watch, [slow], 0);
  cut(watch, [], 29_000);
  cut(watch, [slow], 30_000);
  slow.writableLength = 999;
  cut(watch, [slow], 59_000);
  cut(watch, [slow], 88_000);
  assertEquals(slow.isCut, false);
  cut(watch, [slow], 89_000);
  assertEquals(slow.isCut, true);
});
