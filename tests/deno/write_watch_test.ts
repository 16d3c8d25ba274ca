import { assertEquals } from "@std/assert";
import type { Socket } from "node:net";
import { WriteWatch } from "../../src/deno/write_watch.ts";

/** A connection of whose response as many bytes always wait. */
class Stalled {
  exchanges = 1;
  isCut = false;
  readonly socket: Socket;

  constructor(writableLength: number) {
    this.socket = { writableLength, destroy: () => this.isCut = true } as unknown as Socket;
  }
}

Deno.test("a reader that takes nothing is cut, and one that gets the same response again and again is not", () => {
  const watch = new WriteWatch({ timeoutMs: 30_000 });
  const [stalled, busy, idle] = [new Stalled(1_000), new Stalled(1_000), new Stalled(0)];
  for (let nowMs = 0; nowMs < 30_000; nowMs += 1_000) {
    watch.cut([stalled, busy, idle], nowMs);
    assertEquals(stalled.isCut, false);
    busy.exchanges++;
  }
  watch.cut([stalled, busy, idle], 30_000);
  assertEquals([stalled, busy, idle].map(({ isCut }) => isCut), [true, false, false]);
});

Deno.test("the time of a reader begins anew when it takes something, and when it has gone", () => {
  const watch = new WriteWatch({ timeoutMs: 30_000 });
  const slow = new Stalled(1_000);
  watch.cut([slow], 0);
  watch.cut([], 29_000);
  watch.cut([slow], 30_000);
  Object.assign(slow.socket, { writableLength: 999 });
  watch.cut([slow], 59_000);
  watch.cut([slow], 88_000);
  assertEquals(slow.isCut, false);
  watch.cut([slow], 89_000);
  assertEquals(slow.isCut, true);
});
