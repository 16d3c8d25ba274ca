import { assertEquals, assertRejects } from "@std/assert";
import { cachedFor } from "../../src/ops/cached_for.ts";
import { ManualClock } from "../support/manual_clock.ts";

Deno.test("a result is kept for its time, and a failure is not", async () => {
  const clock = new ManualClock();
  let reads = 0;
  let isBroken = false;
  const read = (by: string) => {
    reads++;
    return isBroken ? Promise.reject(new Error("broken")) : Promise.resolve(`${reads} ${by}`);
  };
  const cached = cachedFor(read, { forMs: 100, clock });
  assertEquals([await cached("a"), await cached("b")], ["1 a", "1 a"]);
  clock.advance(99);
  assertEquals(await cached("c"), "1 a");
  clock.advance(1);
  isBroken = true;
  await assertRejects(() => cached("d"), Error, "broken");
  isBroken = false;
  assertEquals([await cached("e"), await cached("f")], ["3 e", "3 e"]);
});

Deno.test("a call does not wait for another one that never ends, as of a request that the runtime has ended", async () => {
  let reads = 0;
  const cached = cachedFor(
    () => ++reads === 1 ? new Promise<number>(() => {}) : Promise.resolve(reads),
    { forMs: 100, clock: new ManualClock() },
  );
  cached();
  assertEquals(await cached(), 2);
});
