/** A database that cannot be reached: which callers are refused at once, which may wait, and how often the pool probes. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectError,
  type Lease,
  OwnerScope,
  type Pool,
  type PoolOptions,
  PoolOverloadedError,
} from "../../../src/db/mod.ts";
import { CircuitBreaker } from "../../../src/db/pool/circuit_breaker.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ModelDatabase } from "../../support/model_database.ts";
import { ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const scope = OwnerScope.lasting();
const CONNECT_TIMEOUT_MS = 1_000;

function setUp(options: Partial<PoolOptions> = {}) {
  const clock = new ManualClock();
  const database = new ModelDatabase(clock, { pipelined: false, heedsAbort: true });
  const pool = poolOf(new ScriptedDriver(), {
    connect: (connectOptions) => database.connect(connectOptions),
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    clock,
    ...options,
  });
  return { clock, database, pool };
}

type Outcome = "served" | "waiting" | string;

/** Calls `acquire`, and returns its outcome once all promises have settled, without any time passing. */
async function tryAcquire(pool: Pool): Promise<{ outcome: Outcome }> {
  const caller: { outcome: Outcome } = { outcome: "waiting" };
  pool.acquire({ scope }).then((lease: Lease) => {
    caller.outcome = "served";
    return lease.release();
  }, (error: Error) => {
    caller.outcome = error.name;
  });
  await flushPromises();
  return caller;
}

for (
  const [what, mood] of [["refuses", "down"], ["freezes", "slow"]] as const
) {
  Deno.test(`while the database ${what} for 10 s all but the probes are refused at once, and its return is seen within a second`, async () => {
    const { clock, database, pool } = setUp({ size: 10, maxOverflow: 10 });
    assertEquals((await tryAcquire(pool)).outcome, "served");
    database.peers[0]!.connection.cut();
    database.mood = mood;
    // The first callers find the outage out.
    await tryAcquire(pool);
    await clock.advance(CONNECT_TIMEOUT_MS);
    await tryAcquire(pool);
    const before = database.peers.length;
    const outcomes = new Map<Outcome, number>();
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) {
      const { outcome } = await tryAcquire(pool);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      await clock.advance(5);
    }
    const probes = database.peers.length - before;
    assertEquals(outcomes.get("PoolOverloadedError"), 2_000 - probes);
    // A window that has grown to the longest lasts from half of that time up to all of it.
    const { longestWindowMs } = CircuitBreaker;
    const [fewest, most] = [10_000 / longestWindowMs - 1, 2 * 10_000 / longestWindowMs + 5];
    assert(probes >= fewest && probes <= most, `${probes} probes`);

    database.mood = "up";
    let waitedMs = 0;
    while ((await tryAcquire(pool)).outcome !== "served") {
      await clock.advance(5);
      waitedMs += 5;
    }
    assert(waitedMs <= 1_000, `${waitedMs} ms`);
    await pool.close({ timeoutMs: 0 });
  });
}

Deno.test("after one connect that failed late, the next callers are refused at once", async () => {
  const { clock, database, pool } = setUp();
  database.mood = "slow";
  const first = await tryAcquire(pool);
  await clock.advance(CONNECT_TIMEOUT_MS);
  assertEquals(first.outcome, "ConnectError");
  assertEquals((await tryAcquire(pool)).outcome, "PoolOverloadedError");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("when an outage begins, the waiters without a connect of their own are refused at once", async () => {
  const { clock, database, pool } = setUp({ size: 2, maxOverflow: 0 });
  database.mood = "slow";
  const probes = [await tryAcquire(pool), await tryAcquire(pool)];
  const others = [await tryAcquire(pool), await tryAcquire(pool)];
  assertEquals(pool.stats(), { ...pool.stats(), opening: 2, waiting: 4 });
  await clock.advance(CONNECT_TIMEOUT_MS);
  assertEquals(probes.map(({ outcome }) => outcome), ["ConnectError", "ConnectError"]);
  assertEquals(others.map(({ outcome }) => outcome), [
    "PoolOverloadedError",
    "PoolOverloadedError",
  ]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("callers do not wait for a leased connection once the database has been silent for a second", async () => {
  const { clock, database, pool } = setUp({ size: 1, maxOverflow: 1 });
  const frozen = await pool.acquire({ scope });
  database.mood = "slow";
  await tryAcquire(pool);
  await clock.advance(CONNECT_TIMEOUT_MS + 1);
  assertEquals((await tryAcquire(pool)).outcome, "PoolOverloadedError");
  await frozen.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("in an outage callers wait while leased connections come back alive", async () => {
  const { clock, database, pool } = setUp({ size: 2, maxOverflow: 0 });
  const held = await pool.acquire({ scope });
  database.mood = "down";
  await tryAcquire(pool);
  await tryAcquire(pool);
  await clock.advance(CircuitBreaker.maxSilenceMs);
  await held.release();
  const again = await pool.acquire({ scope });
  assertEquals((await tryAcquire(pool)).outcome, "ConnectError");
  const waiting = await tryAcquire(pool);
  assertEquals(waiting.outcome, "waiting");
  await again.release();
  await flushPromises();
  assertEquals(waiting.outcome, "served");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("callers wait for a leased connection while the server itself refuses logins", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  let isFull = false;
  const pool = poolOf(driver, {
    clock,
    connect: (options) =>
      isFull
        ? Promise.reject(
          new ConnectError("Cannot connect", { cause: serverError("53300", "too many", "FATAL") }),
        )
        : driver.connect(options),
  });
  const held = await pool.acquire({ scope });
  isFull = true;
  await clock.advance(10 * CircuitBreaker.maxSilenceMs);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  const waiting = await tryAcquire(pool);
  assertEquals(waiting.outcome, "waiting");
  await held.release();
  await flushPromises();
  assertEquals(waiting.outcome, "served");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("in an outage without a permit for a probe, callers are refused at once", async () => {
  const { clock, database, pool } = setUp({ size: 1, maxOverflow: 0, random: () => 0 });
  const frozen = await pool.acquire({ scope });
  database.peers[0]!.mute = true;
  database.mood = "slow";
  void frozen.destroy();
  await flushPromises();
  assertEquals(pool.stats().closing, 1);
  // The pool waits a second for the server to close. The connect that follows fails after another second.
  const first = await tryAcquire(pool);
  await clock.advance(2 * CONNECT_TIMEOUT_MS);
  assertEquals(first.outcome, "ConnectError");
  await clock.advance(CircuitBreaker.longestWindowMs);
  const probe = await tryAcquire(pool);
  assertEquals(probe.outcome, "waiting");
  // The next window is due, but the probe is given up no sooner than after the longest one.
  await clock.advance(CircuitBreaker.longestWindowMs - 1);
  await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  await clock.advance(1);
  const next = await tryAcquire(pool);
  assertEquals([probe.outcome, next.outcome], ["PoolOverloadedError", "waiting"]);
  await pool.close({ timeoutMs: 0 });
});
