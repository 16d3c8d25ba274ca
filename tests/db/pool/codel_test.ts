import { assertEquals } from "@std/assert";
import { QueueDelayControl } from "../../../src/db/pool/codel.ts";

const TARGET_MS = 500;
const INTERVAL_MS = 4 * TARGET_MS;
const SLOW_MS = 2 * TARGET_MS + 1;

Deno.test("a queue that stays slow for an interval sheds its slow waiters", () => {
  const control = new QueueDelayControl(TARGET_MS);
  const isShed = [0, 500, 1_000, INTERVAL_MS, INTERVAL_MS + 100].map((nowMs) =>
    control.shouldShed(SLOW_MS, nowMs)
  );
  assertEquals(isShed, [false, false, false, true, true]);
});

for (const quietMs of [2 * INTERVAL_MS, 60_000, 3_600_000]) {
  Deno.test(`one slow wait, ${quietMs} ms of quiet and one more slow wait shed nobody`, () => {
    const control = new QueueDelayControl(TARGET_MS);
    assertEquals(control.shouldShed(SLOW_MS, 0), false);
    assertEquals(control.shouldShed(SLOW_MS, quietMs), false);
    assertEquals(control.shouldShed(SLOW_MS, quietMs + 100), false);
  });
}
