import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Leak, OwnerScope } from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";

const scope = OwnerScope.lasting();

function watchedPool(options: { stackShare?: number; random?: () => number } = {}) {
  const clock = new ManualClock();
  const leaks: Leak[] = [];
  const { random = () => 0.5, stackShare = 0 } = options;
  const pool = poolOf(new ScriptedDriver(), {
    clock,
    random,
    leaks: { thresholdMs: 1_000, stackShare, onLeak: (leak) => leaks.push(leak) },
  });
  return { clock, leaks, pool };
}

Deno.test("a lease that is held past the threshold is reported once, with its label and the time it was held", async () => {
  const { clock, leaks, pool } = watchedPool();
  const lease = await pool.acquire({ scope, label: "GET /report" });
  await clock.advance(999);
  assertEquals(leaks, []);
  await clock.advance(1);
  await clock.advance(5_000);
  assertEquals(leaks, [{ label: "GET /report", heldMs: 1_000, stack: undefined }]);
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a lease that is returned in time is not reported, and leaves no timer", async () => {
  const { clock, leaks, pool } = watchedPool();
  const [early, late] = await Promise.all([pool.acquire({ scope }), pool.acquire({ scope })]);
  await clock.advance(600);
  await early.release();
  await clock.advance(300);
  await late.release();
  await clock.advance(5_000);
  assertEquals(leaks, []);
  await pool.close({ timeoutMs: 0 });
  assertEquals(clock.pending, 0);
});

Deno.test("the leases of a lasting scope share one timer, also when none is left in between", async () => {
  const { clock, leaks, pool } = watchedPool();
  const { after } = clock;
  let timers = 0;
  clock.after = (timeMs, callback) => {
    timers++;
    return after.call(clock, timeMs, callback);
  };
  const use = async () => await (await pool.acquire({ scope })).release();
  await use();
  timers = 0;
  for (let n = 0; n < 20; n++) {
    await use();
    await clock.advance(10);
  }
  assertEquals(timers, 0);
  const kept = await pool.acquire({ scope });
  await clock.advance(999);
  assertEquals(leaks, []);
  await clock.advance(1);
  assertEquals(leaks.length, 1);
  await kept.release();
  await pool.close({ timeoutMs: 0 });
  assertEquals(clock.pending, 0);
});

Deno.test("without a connection, and in the scope of one request, no timer outlasts the leases", async () => {
  for (const owner of [scope, OwnerScope.request()]) {
    const { clock, leaks, pool } = watchedPool();
    const lease = await pool.acquire({ scope: owner });
    if (owner.lasting) await lease.connection.close({ timeoutMs: 0 });
    const { pending } = clock;
    await lease.release();
    await flushPromises();
    assert(clock.pending < pending);
    await pool.close({ timeoutMs: 0 });
    assertEquals([clock.pending, leaks], [0, []]);
  }
});

Deno.test("of several leases each is reported at its own time", async () => {
  const { clock, leaks, pool } = watchedPool();
  const first = await pool.acquire({ scope, label: "first" });
  await clock.advance(400);
  const second = await pool.acquire({ scope, label: "second" });
  await clock.advance(600);
  assertEquals(leaks.map(({ label }) => label), ["first"]);
  await clock.advance(400);
  assertEquals(leaks.map(({ label, heldMs }) => [label, heldMs]), [["first", 1_000], [
    "second",
    1_000,
  ]]);
  await Promise.all([first.release(), second.release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a lease whose connection has died is reported if it is not returned", async () => {
  const { clock, leaks, pool } = watchedPool();
  const lease = await pool.acquire({ scope });
  await lease.connection.close({ timeoutMs: 0 });
  await clock.advance(1_000);
  assertEquals(leaks.length, 1);
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("the stack is kept for a share of the leases", async () => {
  const samples = [0.1, 0.9];
  const { clock, leaks, pool } = watchedPool({
    stackShare: 0.5,
    // A new connection takes a random number too, for its age.
    random: () => samples.length > 0 && isLeasing ? samples.shift()! : 0.5,
  });
  let isLeasing = false;
  const warm = await Promise.all([pool.acquire({ scope }), pool.acquire({ scope })]);
  await Promise.all(warm.map((lease) => lease.release()));
  isLeasing = true;
  const leases = [await pool.acquire({ scope }), await pool.acquire({ scope })];
  await clock.advance(1_000);
  assertEquals(leaks.length, 2);
  assertStringIncludes(leaks[0]!.stack ?? "", "leak_watch_test.ts");
  assert(leaks[1]!.stack === undefined);
  await Promise.all(leases.map((lease) => lease.release()));
  await pool.close({ timeoutMs: 0 });
});
