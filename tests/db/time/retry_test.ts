import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { fullJitterMs, retry, RetryBudget, type RetryLimits } from "../../../src/db/time/retry.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";

const LIMITS: RetryLimits = { attempts: 3, random: () => 0 };
const ALWAYS = { isRetryable: () => true };

Deno.test("retry() returns the first success", async () => {
  const attempts: number[] = [];
  const value = await retry(
    (attempt) => {
      attempts.push(attempt);
      return attempt < 3 ? Promise.reject(new Error("not yet")) : Promise.resolve("done");
    },
    LIMITS,
    ALWAYS,
  );
  assertEquals(value, "done");
  assertEquals(attempts, [1, 2, 3]);
});

Deno.test("retry() throws the last attempt's own error once its attempts are used up", async () => {
  const errors = [new Error("1"), new Error("2"), new Error("3")];
  const error = await assertRejects(() =>
    retry((attempt) => Promise.reject(errors[attempt - 1]), LIMITS, ALWAYS)
  );
  assertStrictEquals(error, errors[2]);
});

Deno.test("retry() does not run the work again after an error that is not retryable", async () => {
  let runs = 0;
  await assertRejects(() =>
    retry(
      () => {
        runs++;
        return Promise.reject(new Error("for good"));
      },
      LIMITS,
      { isRetryable: () => false },
    )
  );
  assertEquals(runs, 1);
});

Deno.test("retry() waits between attempts for the jitter", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const done = retry(
    () => {
      runs++;
      return runs < 3 ? Promise.reject(new Error("not yet")) : Promise.resolve();
    },
    { ...LIMITS, clock, baseMs: 100, random: () => 0.5 },
    ALWAYS,
  );
  await flushPromises();
  await clock.advance(49);
  assertEquals(runs, 1);
  await clock.advance(1);
  assertEquals(runs, 2);
  await clock.advance(100);
  assertEquals(runs, 3);
  await done;
});

Deno.test("retry() waits for minWaitMs and the jitter", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const done = retry(
    () => {
      runs++;
      return runs < 2 ? Promise.reject(new Error("in a second")) : Promise.resolve();
    },
    { ...LIMITS, clock, baseMs: 100, random: () => 0.5 },
    { ...ALWAYS, minWaitMs: () => 1_000 },
  );
  await flushPromises();
  await clock.advance(1_049);
  assertEquals(runs, 1);
  await clock.advance(1);
  assertEquals(runs, 2);
  await done;
});

Deno.test("retry() begins no attempt after timeoutMs", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const done = assertRejects(() =>
    retry(() => {
      runs++;
      return Promise.reject(new Error("not yet"));
    }, {
      ...LIMITS,
      attempts: 9,
      clock,
      baseMs: 100,
      capMs: 100,
      timeoutMs: 250,
      random: () => 0.99,
    }, ALWAYS)
  );
  await flushPromises();
  await clock.advance(1_000);
  await done;
  assertEquals(runs, 3);
});

Deno.test("retry() stops waiting when its signal aborts, and throws the last failure", async () => {
  const clock = new ManualClock();
  const gaveUp = new AbortController();
  const failure = new Error("not yet");
  const done = assertRejects(() =>
    retry(() => Promise.reject(failure), {
      ...LIMITS,
      clock,
      signal: gaveUp.signal,
      random: () => 0.9,
    }, ALWAYS)
  );
  await flushPromises();
  gaveUp.abort();
  assertStrictEquals(await done, failure);
  assertEquals(clock.pending, 0);
});

Deno.test("retry() refuses fewer than one attempt", async () => {
  for (const attempts of [0, -1, NaN]) {
    await assertRejects(
      () => retry(() => Promise.resolve(), { ...LIMITS, attempts }, ALWAYS),
      RangeError,
      `current value is ${attempts}`,
    );
  }
});

Deno.test("full jitter is below a bound that doubles up to its cap", () => {
  const bounds = [1, 2, 3, 4, 5].map((attempt) =>
    fullJitterMs({ attempt, baseMs: 50, capMs: 300, random: () => 1 })
  );
  assertEquals(bounds, [50, 100, 200, 300, 300]);
  assertEquals(fullJitterMs({ attempt: 3, baseMs: 50, capMs: 300, random: () => 0 }), 0);
});

Deno.test("full jitter is uniform over its range", () => {
  const random = seeded(20261123);
  const draws = 100_000;
  const buckets = new Array<number>(20).fill(0);
  for (let draw = 0; draw < draws; draw++) {
    const waitMs = fullJitterMs({ attempt: 3, baseMs: 50, capMs: 1_000, random });
    buckets[Math.floor(waitMs / 200 * buckets.length)]!++;
  }
  const expected = draws / buckets.length;
  const chiSquare = buckets.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
  // The 99.9th percentile of chi-square with 19 degrees of freedom.
  assert(chiSquare < 43.82, `chi-square ${chiSquare}`);
});

/** A small generator with a fixed sequence: a Weyl sequence, mixed. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

Deno.test("a budget allows one retry for five units, and ten retries a second", () => {
  const budget = new RetryBudget();
  let nowMs = 0;
  let allowed = 0;
  // One minute with 100 units a second, each of which asks for a retry.
  for (; nowMs < 60_000; nowMs += 10) {
    budget.deposit(nowMs);
    if (budget.withdraw(nowMs)) allowed++;
  }
  const expected = 60 * (0.2 * 100 + 10);
  assert(Math.abs(allowed - expected) <= RetryBudget.perSecond, `allowed ${allowed}`);
});

Deno.test("a budget keeps at most ten seconds' worth of retries", () => {
  const budget = new RetryBudget();
  budget.deposit(0);
  let allowed = 0;
  while (budget.withdraw(3_600_000)) allowed++;
  assertEquals(allowed, RetryBudget.max);
});

Deno.test("retry() throws the first failure when the budget is empty", async () => {
  const clock = new ManualClock();
  const budget = new RetryBudget();
  while (budget.withdraw(clock.now()));
  let runs = 0;
  await assertRejects(() =>
    retry(
      () => {
        runs++;
        return Promise.reject(new Error("not yet"));
      },
      { ...LIMITS, clock, budget },
      ALWAYS,
    )
  );
  assertEquals(runs, 1);
});
