/** Requests that end silently: the permits and waiters they leave behind, and who may not act on their behalf. */
import { assertEquals, assertRejects } from "@std/assert";
import { type Pool, ScopeError } from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { ownedTimers, SimulatedScope } from "../../support/simulated_scope.ts";

const TIMEOUT_MS = 2_000;

function openWorld(): { clock: ManualClock; pool: Pool } {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), {
    size: 3,
    maxOverflow: 0,
    acquireTimeoutMs: TIMEOUT_MS,
    clock: ownedTimers(clock),
  });
  return { clock, pool };
}

function request(): SimulatedScope {
  return SimulatedScope.open({ lasting: false, isBound: true });
}

Deno.test("a waiter whose request has ended blocks no other caller once its timeout has passed", async () => {
  const { clock, pool } = openWorld();
  const holders = await Promise.all([1, 2, 3].map(async () => {
    const scope = request();
    return { scope, lease: await scope.enter(() => pool.acquire({ scope })) };
  }));
  const dead = request();
  dead.enter(() => pool.acquire({ scope: dead })).catch(() => {});
  dead.isDead = true;
  for (const { scope, lease } of holders) {
    await scope.enter(() => lease.release());
    await scope.enter(() => pool.endScope(scope));
  }
  // Longer than its permit lasts and its wait may take.
  await clock.advance(10 * TIMEOUT_MS);
  const scope = request();
  const first = await scope.enter(() => pool.acquire({ scope }));
  const second = await scope.enter(() => pool.acquire({ scope }));
  await scope.enter(() => Promise.all([first.release(), second.release()]));
  const { idle, waiting } = pool.stats();
  assertEquals({ idle, waiting }, { idle: 2, waiting: 0 });
  await scope.enter(() => pool.endScope(scope));
});

Deno.test("acquire() throws ScopeError for code that runs on behalf of another scope", async () => {
  const { pool } = openWorld();
  const [one, other] = [request(), request()];
  const lease = await one.enter(() => pool.acquire({ scope: one }));
  await one.enter(() => lease.release());
  await assertRejects(() => other.enter(() => pool.acquire({ scope: one })), ScopeError);
  await flushPromises();
  assertEquals(pool.stats().idle, 1);
  await one.enter(() => pool.endScope(one));
});
