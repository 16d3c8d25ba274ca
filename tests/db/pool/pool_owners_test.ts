/** One pool, many owners whose I/O is their own, as requests of a Worker have it. */
import { assertEquals } from "@std/assert";
import type { Lease, Pool } from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { ownedTimers, SimulatedScope } from "../../support/simulated_scope.ts";

const HOLD_MS = 1_000;
const ACQUIRE_TIMEOUT_MS = 20_000;

function request(): SimulatedScope {
  return SimulatedScope.open({ lasting: false, isBound: true });
}

function poolOfOne(options: { maxWaiters?: number } = {}) {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, {
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
    clock: ownedTimers(clock),
    ...options,
  });
  return { clock, driver, pool };
}

/** What has become of one who asked; a dead one never hears of it. */
interface Asker {
  lease: Lease | undefined;
  error: string | undefined;
}

function ask(pool: Pool, scope: SimulatedScope): Asker {
  const asker: Asker = { lease: undefined, error: undefined };
  scope.enter(() => pool.acquire({ scope, holdMs: HOLD_MS })).then(
    (lease) => asker.lease = lease,
    (error) => asker.error = error.name,
  );
  return asker;
}

Deno.test("one who waits finds the permit of a request that has ended without a word, though nobody tells of it", async () => {
  const { clock, pool } = poolOfOne();
  const dead = request();
  ask(pool, dead);
  await flushPromises();
  dead.isDead = true;
  const waiting = ask(pool, request());
  await clock.advance(HOLD_MS);
  assertEquals(waiting.lease, undefined);
  // A second for the owner to answer, and up to half a second each until it is seen that either is over.
  await clock.advance(2_000);
  assertEquals(waiting.lease !== undefined, true);
  assertEquals(pool.stats().counters.expired, 1);
});

Deno.test("those who wait on behalf of requests that have ended leave when their time is over", async () => {
  const { clock, pool } = poolOfOne({ maxWaiters: 1 });
  const holder = request();
  scopeHolds(pool, holder);
  await flushPromises();
  const dead = request();
  ask(pool, dead);
  dead.isDead = true;
  const refused = ask(pool, request());
  await flushPromises();
  assertEquals(refused.error, "PoolOverloadedError");
  await clock.advance(ACQUIRE_TIMEOUT_MS + 1_000);
  const waiting = ask(pool, request());
  await flushPromises();
  assertEquals([waiting.error, pool.stats().waiting], [undefined, 1]);
});

Deno.test("a permit that its waiter does not take up goes to the next, and the waiter is served when it answers", async () => {
  const { clock, pool } = poolOfOne();
  const holder = request();
  const held = ask(pool, holder);
  await flushPromises();
  const busy = request();
  const late = ask(pool, busy);
  const next = ask(pool, request());
  busy.beBusy();
  await holder.enter(() => held.lease!.destroy());
  await clock.advance(500);
  assertEquals([late.lease, next.lease], [undefined, undefined]);
  await clock.advance(1_500);
  assertEquals([late.lease, next.lease !== undefined], [undefined, true]);
  busy.answer();
  await clock.advance(HOLD_MS + 3_000);
  assertEquals(late.lease !== undefined, true);
});

Deno.test("a permit that was held out to one who gave up meanwhile is free, and no connection is opened for it", async () => {
  const { driver, pool } = poolOfOne();
  const holder = request();
  const held = ask(pool, holder);
  await flushPromises();
  const busy = request();
  const caller = new AbortController();
  busy.enter(() => pool.acquire({ scope: busy, signal: caller.signal })).catch(() => {});
  busy.beBusy();
  await holder.enter(() => held.lease!.destroy());
  await flushPromises();
  assertEquals(pool.stats().opening, 1);
  caller.abort();
  busy.answer();
  await flushPromises();
  assertEquals([pool.stats().opening, driver.connections.length], [0, 1]);
});

Deno.test("a permit that was held out to a request that has ended goes to the next", async () => {
  const { clock, pool } = poolOfOne();
  const holder = request();
  const held = ask(pool, holder);
  await flushPromises();
  const dead = request();
  ask(pool, dead);
  dead.isDead = true;
  const next = ask(pool, request());
  await holder.enter(() => held.lease!.destroy());
  await clock.advance(2_000);
  assertEquals(next.lease !== undefined, true);
});

Deno.test("an idle connection that was asked for, and is in use again when its owner hears of it, stays open", async () => {
  const { driver, pool } = poolOfOne();
  const owner = request();
  const first = ask(pool, owner);
  await flushPromises();
  await owner.enter(() => first.lease!.release());
  owner.beBusy();
  ask(pool, request());
  await flushPromises();
  const again = ask(pool, owner);
  await flushPromises();
  owner.answer();
  await flushPromises();
  assertEquals(again.lease?.connection, driver.connections[0]);
  assertEquals([driver.connections[0]!.closes, pool.stats().leased], [0, 1]);
});

Deno.test("an idle connection of a request is closed by it when another one waits", async () => {
  const { driver, pool } = poolOfOne();
  const owner = request();
  const first = ask(pool, owner);
  await flushPromises();
  await owner.enter(() => first.lease!.release());
  const waiting = ask(pool, request());
  await flushPromises();
  assertEquals(driver.connections[0]!.closes, 1);
  assertEquals(waiting.lease?.connection, driver.connections[1]);
});

for (const end of ["release", "destroy"] as const) {
  Deno.test(`an owner that was busy while its permit was reclaimed closes its connection when it answers (${end})`, async () => {
    const { clock, driver, pool } = poolOfOne();
    const busy = request();
    const held = ask(pool, busy);
    await flushPromises();
    busy.beBusy();
    const next = ask(pool, request());
    await clock.advance(HOLD_MS + 2_500);
    assertEquals([driver.connections.length, next.lease !== undefined], [2, true]);
    assertEquals(driver.connections[0]!.closes, 0);
    await busy.enter(() => held.lease![end]());
    assertEquals(driver.connections[0]!.closes, 1);
    busy.answer();
    await busy.enter(() => pool.endScope(busy));
    assertEquals([driver.connections[0]!.closes, driver.connections[1]!.closes], [1, 0]);
  });
}

Deno.test("an owner that was busy while its permit was reclaimed closes its connection though it keeps the lease", async () => {
  const { clock, driver, pool } = poolOfOne();
  const busy = request();
  ask(pool, busy);
  await flushPromises();
  busy.beBusy();
  ask(pool, request());
  await clock.advance(HOLD_MS + 2_500);
  busy.answer();
  await flushPromises();
  assertEquals(driver.connections.map(({ closes }) => closes), [1, 0]);
});

Deno.test("a connection that was closed late counts once, by the cause that took its permit", async () => {
  const { clock, pool } = poolOfOne();
  const busy = request();
  const first = ask(pool, busy);
  await flushPromises();
  await busy.enter(() => first.lease!.release());
  busy.beBusy();
  ask(pool, request());
  // It is asked to close what it has idle, and its permit is reclaimed a second later.
  await clock.advance(2_500);
  busy.answer();
  await flushPromises();
  const { expired, overflowClosed, idleClosed } = pool.stats().counters;
  assertEquals({ expired, overflowClosed, idleClosed }, {
    expired: 1,
    overflowClosed: 0,
    idleClosed: 0,
  });
});

Deno.test("connections that a request leaves idle are counted when its end closes them", async () => {
  const { pool } = poolOfOne();
  const owner = request();
  const held = ask(pool, owner);
  await flushPromises();
  await owner.enter(() => held.lease!.release());
  await owner.enter(() => pool.endScope(owner));
  assertEquals(pool.stats().counters.overflowClosed, 1);
});

Deno.test("connections that the pool closes at its own end are counted", async () => {
  const { pool } = poolOfOne();
  const owner = request();
  const held = ask(pool, owner);
  await flushPromises();
  await owner.enter(() => held.lease!.release());
  await owner.enter(() => pool.close({ timeoutMs: 0 }));
  assertEquals(pool.stats().counters.closedWithPool, 1);
});

/** Holds the only permit for as long as the test lasts. */
function scopeHolds(pool: Pool, scope: SimulatedScope): void {
  scope.enter(() => pool.acquire({ scope, holdMs: Infinity })).catch(() => {});
}
