/** A database that cannot be reached: who is told at once, who may hope, and how often the database is asked. */
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

/** What an asker has been told by the time that every promise has settled, and no time has passed. */
async function ask(pool: Pool): Promise<{ outcome: Outcome }> {
  const asker: { outcome: Outcome } = { outcome: "waiting" };
  pool.acquire({ scope }).then((lease: Lease) => {
    asker.outcome = "served";
    return lease.release();
  }, (error: Error) => {
    asker.outcome = error.name;
  });
  await flushPromises();
  return asker;
}

for (
  const [what, mood] of [["refuses", "down"], ["freezes", "slow"]] as const
) {
  Deno.test(`while the database ${what} for 10 s all but the probes are refused at once, and its return is seen within a second`, async () => {
    const { clock, database, pool } = setUp({ size: 10, maxOverflow: 10 });
    assertEquals((await ask(pool)).outcome, "served");
    database.peers[0]!.connection.cut();
    database.mood = mood;
    // The first to come find out.
    await ask(pool);
    await clock.advance(CONNECT_TIMEOUT_MS);
    await ask(pool);
    const before = database.peers.length;
    const told = new Map<Outcome, number>();
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) {
      const { outcome } = await ask(pool);
      told.set(outcome, (told.get(outcome) ?? 0) + 1);
      await clock.advance(5);
    }
    const probes = database.peers.length - before;
    assertEquals(told.get("PoolOverloadedError"), 2_000 - probes);
    // Windows last from half of the longest one up to all of it, once they have grown to that.
    const { longestWindowMs } = CircuitBreaker;
    const [fewest, most] = [10_000 / longestWindowMs - 1, 2 * 10_000 / longestWindowMs + 5];
    assert(probes >= fewest && probes <= most, `${probes} probes`);

    database.mood = "up";
    let waitedMs = 0;
    while ((await ask(pool)).outcome !== "served") {
      await clock.advance(5);
      waitedMs += 5;
    }
    assert(waitedMs <= 1_000, `${waitedMs} ms`);
    await pool.close({ timeoutMs: 0 });
  });
}

Deno.test("a connect that failed after a long silence is no hiccup: those who come next are refused at once", async () => {
  const { clock, database, pool } = setUp();
  database.mood = "slow";
  const first = await ask(pool);
  await clock.advance(CONNECT_TIMEOUT_MS);
  assertEquals(first.outcome, "ConnectError");
  assertEquals((await ask(pool)).outcome, "PoolOverloadedError");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("when an outage shows, those who wait beside its probes are told at once", async () => {
  const { clock, database, pool } = setUp({ size: 2, maxOverflow: 0 });
  database.mood = "slow";
  const probes = [await ask(pool), await ask(pool)];
  const others = [await ask(pool), await ask(pool)];
  assertEquals(pool.stats(), { ...pool.stats(), opening: 2, waiting: 4 });
  await clock.advance(CONNECT_TIMEOUT_MS);
  assertEquals(probes.map(({ outcome }) => outcome), ["ConnectError", "ConnectError"]);
  assertEquals(others.map(({ outcome }) => outcome), [
    "PoolOverloadedError",
    "PoolOverloadedError",
  ]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection in use is no hope once nothing has been heard of the database for a second", async () => {
  const { clock, database, pool } = setUp({ size: 1, maxOverflow: 1 });
  const frozen = await pool.acquire({ scope });
  database.mood = "slow";
  await ask(pool);
  await clock.advance(CONNECT_TIMEOUT_MS + 1);
  assertEquals((await ask(pool)).outcome, "PoolOverloadedError");
  await frozen.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("in an outage connections that come back alive are hope for those who wait", async () => {
  const { clock, database, pool } = setUp({ size: 2, maxOverflow: 0 });
  const held = await pool.acquire({ scope });
  database.mood = "down";
  await ask(pool);
  await ask(pool);
  await clock.advance(CircuitBreaker.maxSilenceMs);
  await held.release();
  const again = await pool.acquire({ scope });
  assertEquals((await ask(pool)).outcome, "ConnectError");
  const waiting = await ask(pool);
  assertEquals(waiting.outcome, "waiting");
  await again.release();
  await flushPromises();
  assertEquals(waiting.outcome, "served");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a database that refuses logins in its own words is alive, and connections in use are hope", async () => {
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
  const waiting = await ask(pool);
  assertEquals(waiting.outcome, "waiting");
  await held.release();
  await flushPromises();
  assertEquals(waiting.outcome, "served");
  await pool.close({ timeoutMs: 0 });
});

Deno.test("in an outage without a permit for a probe askers are refused at once", async () => {
  const { clock, database, pool } = setUp({ size: 1, maxOverflow: 0 });
  const frozen = await pool.acquire({ scope });
  database.peers[0]!.mute = true;
  database.mood = "slow";
  void frozen.destroy();
  await flushPromises();
  assertEquals(pool.stats().closing, 1);
  // Its goodbye is given up after a second; the connect that follows fails after another.
  const first = await ask(pool);
  await clock.advance(2 * CONNECT_TIMEOUT_MS);
  assertEquals(first.outcome, "ConnectError");
  await clock.advance(CircuitBreaker.longestWindowMs);
  const probe = await ask(pool);
  assertEquals(probe.outcome, "waiting");
  await clock.advance(CircuitBreaker.longestWindowMs);
  await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  await pool.close({ timeoutMs: 0 });
});
