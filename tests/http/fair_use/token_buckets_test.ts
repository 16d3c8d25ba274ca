import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { TokenBuckets } from "../../../src/http/fair_use/token_buckets.ts";

function timed(quota: { requests: number; windowMs: number }) {
  const time = { nowMs: 1_000 };
  return { time, buckets: new TokenBuckets(quota, () => time.nowMs) };
}

Deno.test("a full bucket has the whole quota, and is refilled at an even rate", () => {
  const { time, buckets } = timed({ requests: 3, windowMs: 3_000 });
  const take = () => buckets.take("a");
  assertEquals([take(), take(), take()].map(({ remaining }) => remaining), [2, 1, 0]);
  assertEquals(take(), { isAllowed: false, remaining: 0, resetMs: 1_000 });
  time.nowMs += 999;
  assertEquals(take(), { isAllowed: false, remaining: 0, resetMs: 1 });
  time.nowMs += 1;
  assertEquals(take(), { isAllowed: true, remaining: 0, resetMs: 3_000 });
  time.nowMs += 60_000;
  assertEquals(take(), { isAllowed: true, remaining: 2, resetMs: 1_000 });
});

Deno.test("clients do not take from one another's buckets", () => {
  const { buckets } = timed({ requests: 1, windowMs: 1_000 });
  assert(buckets.take("a").isAllowed);
  assert(!buckets.take("a").isAllowed);
  assert(buckets.take("b").isAllowed);
});

Deno.test("no more than the quota and what was refilled is allowed, and each wait is honest", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1_000 }),
    fc.integer({ min: 1, max: 3_600 }),
    fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { minLength: 1, maxLength: 200 }),
    (requests, windowS, pauses) => {
      const windowMs = windowS * 1_000;
      const { time, buckets } = timed({ requests, windowMs });
      const startMs = time.nowMs;
      let allowed = 0;
      for (const pause of pauses) {
        time.nowMs += pause * windowMs / requests;
        const { isAllowed, remaining, resetMs } = buckets.take("a");
        assert(remaining >= 0 && remaining < requests);
        if (isAllowed) {
          allowed++;
          assert(resetMs <= windowMs * (1 + 1e-6));
        } else {
          assert(resetMs > 0 && resetMs <= windowMs / requests * (1 + 1e-6));
          time.nowMs += resetMs;
          assert(buckets.take("a").isAllowed);
          allowed++;
        }
      }
      const refilled = (time.nowMs - startMs) / (windowMs / requests);
      assert(allowed <= requests + refilled + 1e-3, `${allowed} of ${requests} + ${refilled}`);
    },
  ));
});

Deno.test("a whole quota can be sent at once, whatever rounding does", () => {
  for (const requests of [1, 3, 7, 49, 300, 9_999]) {
    for (const windowMs of [1_000, 7_000, 60_000, 3_600_000]) {
      const { time, buckets } = timed({ requests, windowMs });
      time.nowMs = 123_456_789.123;
      let allowed = 0;
      while (allowed <= requests && buckets.take("a").isAllowed) allowed++;
      assertEquals(allowed, requests, `${requests}/${windowMs}`);
    }
  }
});

Deno.test("of many clients the one that was silent for longest is forgotten, and not one that goes on", () => {
  const { buckets } = timed({ requests: 1, windowMs: 1_000 });
  buckets.take("silent");
  buckets.take("greedy");
  for (let client = 0; client < 9_998; client++) buckets.take(`${client}`);
  assert(!buckets.take("greedy").isAllowed);
  buckets.take("one more");
  assert(!buckets.take("greedy").isAllowed);
  assert(buckets.take("silent").isAllowed, "its bucket was forgotten");
});
