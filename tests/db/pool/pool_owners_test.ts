/** One pool for many owners whose sockets only they may use, as requests of a Worker do. */
import { assertEquals } from "@std/assert";
import type { Lease, Pool } from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver, type ScriptedDriverOptions } from "../../support/scripted_driver.ts";
import { ownedTimers, SimulatedScope } from "../../support/simulated_scope.ts";

const HOLD_MS = 1_000;
const ACQUIRE_TIMEOUT_MS = 20_000;

function request(): SimulatedScope {
  return SimulatedScope.open({ lasting: false, isBound: true });
}

function poolOfOne(
  { reply, onConnect, ...options }:
    & Pick<ScriptedDriverOptions, "reply" | "onConnect">
    & { maxWaiters?: number } = {},
) {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({
    ...(reply === undefined ? {} : { reply }),
    ...(onConnect === undefined ? {} : { onConnect }),
  });
  const pool = poolOf(driver, {
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
    clock: ownedTimers(clock),
    ...options,
  });
  return { clock, driver, pool };
}

/** The outcome of one `acquire`. The caller of a scope that is dead never gets one. */
interface Caller {
  lease: Lease | undefined;
  error: string | undefined;
}

function acquireFor(pool: Pool, scope: SimulatedScope): Caller {
  const caller: Caller = { lease: undefined, error: undefined };
  scope.enter(() => pool.acquire({ scope, holdMs: HOLD_MS })).then(
    (lease) => caller.lease = lease,
    (error) => caller.error = error.name,
  );
  return caller;
}

async function granted(caller: Caller): Promise<Caller> {
  await flushPromises();
  assertEquals([caller.lease !== undefined, caller.error], [true, undefined]);
  return caller;
}

/** Whether the end of the request is over. */
function ending(pool: Pool, scope: SimulatedScope): { isOver: boolean } {
  const end = { isOver: false };
  scope.enter(() => pool.endScope(scope)).then(() => end.isOver = true);
  return end;
}

Deno.test("a waiter gets the permit of a request that has ended silently", async () => {
  const { clock, pool } = poolOfOne();
  const dead = request();
  acquireFor(pool, dead);
  await flushPromises();
  dead.isDead = true;
  const waiting = acquireFor(pool, request());
  await clock.advance(HOLD_MS);
  assertEquals(waiting.lease, undefined);
  // The owner has one second to act. Timers notice the expiry, and then the missing answer, up to half a second late.
  await clock.advance(2_000);
  assertEquals(waiting.lease !== undefined, true);
  assertEquals(pool.stats().counters.expired, 1);
});

Deno.test("a request ends only once a connection is shut that it has closed for another request", async () => {
  const { driver, pool } = poolOfOne();
  const scope = request();
  const holder = acquireFor(pool, scope);
  await flushPromises();
  const goodbye = Promise.withResolvers<void>();
  driver.connections[0]!.goodbye = goodbye.promise;
  const waiting = acquireFor(pool, request());
  await scope.enter(() => holder.lease!.release());
  assertEquals(pool.stats().closing, 1);
  const end = ending(pool, scope);
  await flushPromises();
  assertEquals(end.isOver, false);
  scope.enter(() => goodbye.resolve());
  await flushPromises();
  assertEquals(end.isOver, true);
  assertEquals(waiting.lease !== undefined, true);
});

Deno.test("a request ends only once a connection is shut that it has returned in a transaction", async () => {
  const rolledBack = Promise.withResolvers<undefined>();
  const { pool } = poolOfOne({
    reply: ({ text }) => text === "ROLLBACK" ? rolledBack.promise : undefined,
  });
  const scope = request();
  const { lease } = await granted(acquireFor(pool, scope));
  await scope.enter(() => lease!.connection.flight([{ text: "BEGIN", values: [] }]));
  scope.enter(() => lease!.release());
  const end = ending(pool, scope);
  await flushPromises();
  assertEquals([end.isOver, pool.stats().leased], [false, 1]);
  scope.enter(() => rolledBack.resolve(undefined));
  await flushPromises();
  assertEquals([end.isOver, pool.stats().leased], [true, 0]);
});

Deno.test("a request ends only once a connection is shut that it returns after it has asked for its end", async () => {
  const { pool } = poolOfOne();
  const scope = request();
  const { lease } = await granted(acquireFor(pool, scope));
  const end = ending(pool, scope);
  await flushPromises();
  assertEquals(end.isOver, false);
  await scope.enter(() => lease!.release());
  await flushPromises();
  assertEquals([end.isOver, pool.stats().idle], [true, 0]);
});

Deno.test("the end of a request gives up a connect that none of its callers waits for", async () => {
  const never = new Promise<void>(() => {});
  const { pool } = poolOfOne({ onConnect: () => never });
  const scope = request();
  const caller = new AbortController();
  const refused = scope.enter(() => pool.acquire({ scope, signal: caller.signal }));
  refused.catch(() => {});
  await flushPromises();
  scope.enter(() => caller.abort());
  await flushPromises();
  assertEquals(pool.stats().opening, 1);
  const end = ending(pool, scope);
  await flushPromises();
  const { opening, counters } = pool.stats();
  assertEquals([end.isOver, opening, counters.connectFailed], [true, 0, 0]);
});

Deno.test("a connect that the end of its scope has given up refuses no caller that comes then", async () => {
  const never = new Promise<void>(() => {});
  let connects = 0;
  const { pool } = poolOfOne({ onConnect: () => ++connects === 1 ? never : undefined });
  const scope = SimulatedScope.open({ lasting: true, isBound: true });
  const caller = new AbortController();
  scope.enter(() => pool.acquire({ scope, signal: caller.signal })).catch(() => {});
  await flushPromises();
  scope.enter(() => caller.abort());
  const end = ending(pool, scope);
  const [one, other] = [acquireFor(pool, scope), acquireFor(pool, scope)];
  await granted(one);
  await scope.enter(() => one.lease!.release());
  await granted(other);
  await scope.enter(() => other.lease!.release());
  await flushPromises();
  assertEquals([end.isOver, pool.stats().counters.unreachable], [true, 0]);
});

Deno.test("the end of a request gives up a connect that it has not started yet", async () => {
  const { pool } = poolOfOne();
  const holder = request();
  const held = await granted(acquireFor(pool, holder));
  const busy = request();
  const caller = new AbortController();
  busy.enter(() => pool.acquire({ scope: busy, signal: caller.signal })).catch(() => {});
  busy.beBusy();
  await holder.enter(() => held.lease!.destroy());
  busy.enter(() => caller.abort());
  await flushPromises();
  assertEquals(pool.stats().opening, 1);
  const end = ending(pool, busy);
  busy.answer();
  await flushPromises();
  assertEquals([end.isOver, pool.stats().opening], [true, 0]);
});

Deno.test("the end of a request leaves a connect alone that one of its callers waits for", async () => {
  const opened = Promise.withResolvers<void>();
  const { pool } = poolOfOne({ onConnect: () => opened.promise });
  const scope = request();
  const caller = acquireFor(pool, scope);
  await flushPromises();
  const end = ending(pool, scope);
  await flushPromises();
  assertEquals([end.isOver, caller.error], [false, undefined]);
  scope.enter(() => opened.resolve());
  await granted(caller);
  await scope.enter(() => caller.lease!.release());
  await flushPromises();
  assertEquals(end.isOver, true);
});

Deno.test("waiters of requests that have ended leave the queue after their timeout", async () => {
  const { clock, pool } = poolOfOne({ maxWaiters: 1 });
  const holder = request();
  scopeHolds(pool, holder);
  await flushPromises();
  const dead = request();
  acquireFor(pool, dead);
  dead.isDead = true;
  const refused = acquireFor(pool, request());
  await flushPromises();
  assertEquals(refused.error, "PoolOverloadedError");
  await clock.advance(ACQUIRE_TIMEOUT_MS + 1_000);
  const waiting = acquireFor(pool, request());
  await flushPromises();
  assertEquals([waiting.error, pool.stats().waiting], [undefined, 1]);
});

Deno.test("a permit whose waiter does not start its connect goes to the next one, and the waiter is served when it runs again", async () => {
  const { clock, pool } = poolOfOne();
  const holder = request();
  const held = acquireFor(pool, holder);
  await flushPromises();
  const busy = request();
  const late = acquireFor(pool, busy);
  const next = acquireFor(pool, request());
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

Deno.test("a permit that was offered to a caller that gave up meanwhile is freed, and no connection is opened", async () => {
  const { driver, pool } = poolOfOne();
  const holder = request();
  const held = acquireFor(pool, holder);
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

Deno.test("a permit that was offered to a request that has ended goes to the next waiter", async () => {
  const { clock, pool } = poolOfOne();
  const holder = request();
  const held = acquireFor(pool, holder);
  await flushPromises();
  const dead = request();
  acquireFor(pool, dead);
  dead.isDead = true;
  const next = acquireFor(pool, request());
  await holder.enter(() => held.lease!.destroy());
  await clock.advance(2_000);
  assertEquals(next.lease !== undefined, true);
});

Deno.test("an idle connection that its owner is asked to close stays open if it is leased again before the owner runs", async () => {
  const { driver, pool } = poolOfOne();
  const owner = request();
  const first = acquireFor(pool, owner);
  await flushPromises();
  await owner.enter(() => first.lease!.release());
  owner.beBusy();
  acquireFor(pool, request());
  await flushPromises();
  const again = acquireFor(pool, owner);
  await flushPromises();
  owner.answer();
  await flushPromises();
  assertEquals(again.lease?.connection, driver.connections[0]);
  assertEquals([driver.connections[0]!.closes, pool.stats().leased], [0, 1]);
});

Deno.test("a request closes its idle connection when another request waits", async () => {
  const { driver, pool } = poolOfOne();
  const owner = request();
  const first = acquireFor(pool, owner);
  await flushPromises();
  await owner.enter(() => first.lease!.release());
  const waiting = acquireFor(pool, request());
  await flushPromises();
  assertEquals(driver.connections[0]!.closes, 1);
  assertEquals(waiting.lease?.connection, driver.connections[1]);
});

for (const end of ["release", "destroy"] as const) {
  Deno.test(`an owner that was busy while its permit was reclaimed closes its connection when it returns its lease (${end})`, async () => {
    const { clock, driver, pool } = poolOfOne();
    const busy = request();
    const held = acquireFor(pool, busy);
    await flushPromises();
    busy.beBusy();
    const next = acquireFor(pool, request());
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

Deno.test("an owner that was busy while its permit was reclaimed closes its connection although the lease is still held", async () => {
  const { clock, driver, pool } = poolOfOne();
  const busy = request();
  acquireFor(pool, busy);
  await flushPromises();
  busy.beBusy();
  acquireFor(pool, request());
  await clock.advance(HOLD_MS + 2_500);
  busy.answer();
  await flushPromises();
  assertEquals(driver.connections.map(({ closes }) => closes), [1, 0]);
});

Deno.test("a connection that was closed late counts once, as expired", async () => {
  const { clock, pool } = poolOfOne();
  const busy = request();
  const first = acquireFor(pool, busy);
  await flushPromises();
  await busy.enter(() => first.lease!.release());
  busy.beBusy();
  acquireFor(pool, request());
  // The pool asks the owner to close its idle connection, and reclaims the permit one second later.
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
  const held = acquireFor(pool, owner);
  await flushPromises();
  await owner.enter(() => held.lease!.release());
  await owner.enter(() => pool.endScope(owner));
  assertEquals(pool.stats().counters.overflowClosed, 1);
});

Deno.test("connections that the pool closes at its own end are counted", async () => {
  const { pool } = poolOfOne();
  const owner = request();
  const held = acquireFor(pool, owner);
  await flushPromises();
  await owner.enter(() => held.lease!.release());
  await owner.enter(() => pool.close({ timeoutMs: 0 }));
  assertEquals(pool.stats().counters.closedWithPool, 1);
});

/** Holds the only permit for as long as the test lasts. */
function scopeHolds(pool: Pool, scope: SimulatedScope): void {
  scope.enter(() => pool.acquire({ scope, holdMs: Infinity })).catch(() => {});
}
