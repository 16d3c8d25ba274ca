/** How many callers a pool lets wait, on a manual clock. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  AcquireTimeoutError,
  OwnerScope,
  type Pool,
  type PoolOptions,
  PoolOverloadedError,
} from "../../../src/db/mod.ts";
import { seededRandom } from "../../endurance/random.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { poolOf } from "../../support/test_pool.ts";

const TARGET_MS = 500;
const scope = OwnerScope.lasting();

interface Call {
  readonly atMs: number;
  /** How many others waited when it came. */
  readonly behind: number;
  outcome: "waiting" | "served" | "refused";
  waitedMs: number;
}

/** A pool whose callers each keep their lease for as long as `useMs` says. */
class Load {
  readonly clock = new ManualClock();
  readonly pool: Pool;
  readonly calls: Call[] = [];
  useMs: () => number;

  constructor(
    { permits, useMs, ...options }: Partial<PoolOptions> & { permits: number; useMs: number },
  ) {
    const driver = new ScriptedDriver();
    const { clock } = this;
    this.pool = poolOf(driver, {
      size: permits,
      maxOverflow: 0,
      shedTargetMs: TARGET_MS,
      clock,
      ...options,
    });
    this.useMs = () => useMs;
  }

  call(): void {
    const atMs = this.clock.now();
    const call: Call = { atMs, behind: this.pool.stats().waiting, outcome: "waiting", waitedMs: 0 };
    this.calls.push(call);
    this.pool.acquire({ scope }).then((lease) => {
      Object.assign(call, { outcome: "served", waitedMs: this.clock.now() - atMs });
      this.clock.after(this.useMs(), () => void lease.release());
    }, (error) => {
      assert(error instanceof PoolOverloadedError || error instanceof AcquireTimeoutError, error);
      Object.assign(call, { outcome: "refused", waitedMs: this.clock.now() - atMs });
    });
  }

  /** Calls at equal distances. Returns them. */
  async during(timeMs: number, { perSecond }: { perSecond: number }): Promise<readonly Call[]> {
    const from = this.calls.length;
    const startMs = this.clock.now();
    for (let k = 0; k * 1_000 < timeMs * perSecond; k++) {
      await this.clock.advance(startMs + k * 1_000 / perSecond - this.clock.now());
      this.call();
      await flushPromises();
    }
    await this.clock.advance(startMs + timeMs - this.clock.now());
    return this.calls.slice(from);
  }

  /** Lets all callers finish. */
  async drain(): Promise<void> {
    await flushPromises();
    while (this.pool.stats().leased > 0) {
      assert(this.clock.fireNext(), "a lease is never returned");
      await flushPromises();
    }
  }
}

const countOf = (calls: readonly Call[], outcome: Call["outcome"]) =>
  calls.filter((call) => call.outcome === outcome).length;
const longestOf = (calls: readonly Call[]) => Math.max(0, ...calls.map(({ waitedMs }) => waitedMs));

Deno.test("a burst onto an idle pool is served, however many it has", async () => {
  for (const spreadMs of [0, 10]) {
    const load = new Load({ permits: 50, useMs: 1 });
    for (let k = 0; k < 1_000; k++) {
      load.call();
      if (spreadMs > 0 && k % (1_000 / spreadMs) === 0) await load.clock.advance(1);
    }
    await load.drain();
    assertEquals(countOf(load.calls, "served"), 1_000);
  }
});

Deno.test("a burst is served although the uses before it were slow", async () => {
  const load = new Load({ permits: 4, useMs: 2_000 });
  await load.during(4_000, { perSecond: 4 });
  await load.drain();
  load.useMs = () => 1;
  const from = load.calls.length;
  for (let k = 0; k < 500; k++) load.call();
  await load.drain();
  assertEquals(countOf(load.calls.slice(from), "served"), 500);
});

Deno.test("at four times its capacity a pool is never idle, refuses at once, and lets none wait for long", async () => {
  const load = new Load({ permits: 16, useMs: 44 });
  const capacity = 16 / 0.044;
  const calls = await load.during(5_000, { perSecond: 4 * capacity });
  const { acquired } = load.pool.stats().counters;
  await load.drain();
  assert(acquired >= 5 * capacity - 16, `${acquired} leases`);
  assertEquals(longestOf(calls.filter(({ outcome }) => outcome === "refused")), 0);
  const longestMs = longestOf(calls);
  assert(longestMs <= 1.25 * TARGET_MS, `${longestMs} ms`);
  assert(longestMs >= TARGET_MS, `${longestMs} ms`);
});

Deno.test("no caller is refused any more when the load has fallen, and the queue is served", async () => {
  const load = new Load({ permits: 4, useMs: 40 });
  const before = await load.during(2_000, { perSecond: 400 });
  assert(countOf(before, "refused") > 0);
  await load.during(2 * TARGET_MS, { perSecond: 50 });
  const after = await load.during(2_000, { perSecond: 90 });
  assertEquals(countOf(after, "refused"), 0);
});

Deno.test("one caller for each permit may wait, however slow and rare the uses are", async () => {
  const load = new Load({ permits: 3, useMs: 20_000 });
  await load.during(70_000, { perSecond: 0.2 });
  assert(load.calls.every(({ outcome, behind }) => outcome !== "refused" || behind >= 3));
  assert(countOf(load.calls, "served") >= 9);
});

Deno.test("two kinds of uses: the permits that the slow ones leave decide", async () => {
  const load = new Load({ permits: 8, useMs: 10 });
  let uses = 0;
  // Seven permits are held for good, one serves 100 callers a second.
  load.useMs = () => uses++ < 7 ? 60_000 : 10;
  const calls = await load.during(4_000, { perSecond: 300 });
  const inTime = calls.filter(({ atMs }) => atMs > TARGET_MS && atMs < 3_000);
  const served = inTime.filter(({ outcome }) => outcome === "served");
  assert(served.length >= 0.95 * 100 * 2.5, `${served.length} served`);
  assert(longestOf(served) <= TARGET_MS + 8 * 10 + 50, `${longestOf(served)} ms`);
});

Deno.test("while all permits hang, callers are refused at once after the target", async () => {
  const load = new Load({ permits: 4, useMs: 20 });
  await load.during(1_000, { perSecond: 100 });
  load.useMs = () => 5_000;
  await load.during(1_000, { perSecond: 100 });
  const during = await load.during(3_000, { perSecond: 100 });
  assertEquals(countOf(during, "refused"), during.length);
  load.useMs = () => 20;
  await load.drain();
  const after = await load.during(1_000, { perSecond: 100 });
  assertEquals(countOf(after, "served"), after.length);
});

Deno.test("callers wait for a server that is slow to wake up, and none is refused", async () => {
  const awake = Promise.withResolvers<void>();
  const driver = new ScriptedDriver({ onConnect: () => awake.promise });
  const load = new Load({ permits: 4, useMs: 1, connect: (options) => driver.connect(options) });
  await load.during(3_000, { perSecond: 100 });
  awake.resolve();
  await load.drain();
  assertEquals(countOf(load.calls, "served"), 300);
});

Deno.test("the same where the first lease comes before the answer to the login", async () => {
  const driver = new ScriptedDriver({ pipelined: true });
  const load = new Load({ permits: 4, useMs: 1, connect: (options) => driver.connect(options) });
  const { clock } = load;
  const awakeAtMs = 3_000;
  load.useMs = () => Math.max(1, awakeAtMs + 1 - clock.now());
  clock.after(awakeAtMs, () => driver.connections.forEach((connection) => connection.logIn()));
  await load.during(awakeAtMs, { perSecond: 100 });
  await load.drain();
  assertEquals(countOf(load.calls, "served"), 300);
});

Deno.test("a target of 0 lets all wait, as many as may", async () => {
  const load = new Load({ permits: 2, useMs: 1_000, shedTargetMs: 0, maxWaiters: 60 });
  await load.during(5_000, { perSecond: 20 });
  assertEquals(load.pool.stats().counters.shed, 0);
  assert(load.pool.stats().counters.queueFull > 0);
  await load.drain();
});

Deno.test("callers are refused at once where their wait would end in a timeout", async () => {
  const load = new Load({ permits: 4, useMs: 20, acquireTimeoutMs: 200 });
  await load.during(3_000, { perSecond: 800 });
  await load.drain();
  const { shed, timedOut } = load.pool.stats().counters;
  assert(timedOut < shed / 10, `${timedOut} timed out, ${shed} refused at once`);
});

Deno.test("property: whatever the load, none is refused while fewer wait than permits, and waits stay near the target", async () => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 12 }),
    fc.constantFrom(50, 200, 500),
    fc.integer({ min: 1, max: 300 }),
    fc.double({ min: 0.2, max: 1, noNaN: true }),
    fc.array(fc.double({ min: 0.1, max: 6, noNaN: true }), { minLength: 1, maxLength: 4 }),
    fc.integer(),
    async (permits, targetMs, useMs, shortest, loads, seed) => {
      const load = new Load({ permits, useMs, shedTargetMs: targetMs, maxWaiters: 100_000 });
      // Uses take between a share of `useMs` and all of it.
      const random = seededRandom(seed);
      load.useMs = () => useMs * (shortest + (1 - shortest) * random());
      const capacity = permits * 1_000 / useMs;
      for (const times of loads) {
        // At most some 150 calls of each, so that a run stays short.
        const perSecond = times * capacity;
        await load.during(Math.min(4 * targetMs, 150_000 / perSecond), { perSecond });
      }
      await load.drain();
      for (const { outcome, behind, waitedMs } of load.calls) {
        if (outcome === "refused") assert(behind >= permits, `refused behind ${behind}`);
        if (outcome === "refused") assertEquals(waitedMs, 0);
      }
      assertEquals(countOf(load.calls, "waiting"), 0);
      // Before it has seen one round of leases, the pool lets all wait: at most six times as many as it serves.
      const longestMs = longestOf(load.calls);
      const boundMs = Math.max(2 * targetMs, 6 * Math.min(useMs, targetMs)) + 3 * useMs;
      assert(longestMs <= boundMs, `${longestMs} ms of ${boundMs}`);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});
