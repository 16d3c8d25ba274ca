import { assertEquals } from "@std/assert";
import { Histogram } from "../../../src/db/time/histogram.ts";
import { OwnerScope } from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";

/** The upper bounds of the buckets that are not empty, with their counts. */
function filled(histogram: { boundsMs: readonly number[]; counts: readonly number[] }) {
  return histogram.counts.flatMap((count, index) =>
    count === 0 ? [] : [[histogram.boundsMs[index] ?? Infinity, count]]
  );
}

Deno.test("a time counts in the first bucket whose bound it does not exceed", () => {
  const histogram = new Histogram();
  for (const timeMs of [0, 1, 1.5, 2, 10_000, 10_001]) histogram.record(timeMs);
  assertEquals(filled(histogram.snapshot()), [[1, 2], [2, 2], [10_000, 1], [Infinity, 1]]);
  assertEquals(histogram.snapshot().sumMs, 0 + 1 + 1.5 + 2 + 10_000 + 10_001);
});

Deno.test("a snapshot does not change when more times are recorded", () => {
  const histogram = new Histogram();
  const before = histogram.snapshot();
  histogram.record(3);
  assertEquals(filled(before), []);
});

Deno.test("a pool records wait times, use times and connect times", async () => {
  const clock = new ManualClock();
  const gate = Promise.withResolvers<void>();
  const pool = poolOf(new ScriptedDriver({ onConnect: () => gate.promise }), {
    size: 1,
    maxOverflow: 0,
    clock,
  });
  const scope = OwnerScope.lasting();
  const first = pool.acquire({ scope });
  await clock.advance(40);
  gate.resolve();
  const lease = await first;
  const second = pool.acquire({ scope });
  await clock.advance(150);
  await lease.release();
  await (await second).release();
  await flushPromises();
  const { waitTimes, useTimes, connectTimes } = pool.stats();
  assertEquals(filled(waitTimes), [[50, 1], [200, 1]]);
  assertEquals(filled(useTimes), [[1, 1], [200, 1]]);
  assertEquals(filled(connectTimes), [[50, 1]]);
  await pool.close({ timeoutMs: 0 });
});
