/** Every error of `acquire` carries the pool's state, the time that the caller waited, and the way out. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectError,
  type DatabaseLayerError,
  DeadlineError,
  OwnerScope,
  type Pool,
  PoolClosedError,
  PoolOverloadedError,
  ScopeError,
} from "../../../src/db/mod.ts";
import { poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const scope = OwnerScope.lasting();
const SMALL = { size: 1, maxOverflow: 0 };

/** Waits 300 ms for a lease that it does not get. */
async function refusedAfter300<E extends DatabaseLayerError>(
  { pool, clock, options = { scope } }: {
    pool: Pool;
    clock: ManualClock;
    options?: Parameters<Pool["acquire"]>[0];
  },
  // deno-lint-ignore no-explicit-any -- the constructors of errors differ in what they take.
  kind: new (...args: any[]) => E,
): Promise<E> {
  const refused = assertRejects(() => pool.acquire(options), kind) as Promise<E>;
  await clock.advance(300);
  return await refused;
}

Deno.test("AcquireTimeoutError names the counts, the wait, the last connect failure and the way out", async () => {
  const clock = new ManualClock();
  let isDown = false;
  const driver = new ScriptedDriver({
    onConnect: () => {
      if (isDown) throw serverError("53300", "sorry, too many clients already", "FATAL");
    },
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 1, acquireTimeoutMs: 300, clock });
  const lease = await pool.acquire({ scope });
  isDown = true;
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  isDown = false;
  const other = pool.acquire({ scope });
  await flushPromises();
  const error = await refusedAfter300({ pool, clock }, AcquireTimeoutError);
  assertEquals(error.pool, {
    limit: 2,
    opening: 0,
    leased: 2,
    idle: 0,
    closing: 0,
    waiting: 1,
    waitedMs: 300,
  });
  assertStringIncludes(error.message, "2 leased, 0 idle, 0 opening, 0 closing of 2");
  assertStringIncludes(error.message, "waited 300 ms");
  assertStringIncludes(error.message, "raise DATABASE_POOL_SIZE");
  assert(error.retryAfterMs > 0);
  await Promise.all([lease.release(), (await other).release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("PoolOverloadedError names the counts, and in an outage the last connect failure and when to come back", async () => {
  const pool = poolOf(
    new ScriptedDriver({
      onConnect: () => {
        throw serverError("57P03", "the database system is starting up", "FATAL");
      },
    }),
    { ...SMALL, clock: new ManualClock(), random: () => 0.5 },
  );
  for (let failures = 0; failures < 2; failures++) {
    const error = await assertRejects(() => pool.acquire({ scope }), ConnectError);
    assertEquals(error.pool?.limit, 1);
  }
  const error = await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  assertEquals([error.pool?.limit, error.pool?.waitedMs], [1, 0]);
  assertStringIncludes(error.message, "Cannot connect to PostgreSQL");
  assert(error.cause instanceof ConnectError);
  assert(error.retryAfterMs > 0 && error.retryAfterMs <= 500);
  assertEquals(pool.stats().counters.unreachable, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("PoolClosedError names the counts, the wait and the way out", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), { ...SMALL, clock });
  const lease = await pool.acquire({ scope });
  const waiting = assertRejects(() => pool.acquire({ scope }), PoolClosedError);
  await clock.advance(70);
  const closed = pool.close({ timeoutMs: 1_000 });
  const error = await waiting;
  assertEquals([error.pool?.leased, error.pool?.waitedMs], [1, 70]);
  assertStringIncludes(error.message, "ask another instance");
  await lease.release();
  await closed;
});

Deno.test("the error of a caller that gives up names the counts and the wait", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), { ...SMALL, clock });
  const lease = await pool.acquire({ scope });
  const caller = new AbortController();
  clock.after(300, () => caller.abort("enough"));
  const options = { scope, signal: caller.signal };
  const error = await refusedAfter300({ pool, clock, options }, DeadlineError);
  assertEquals([error.pool?.leased, error.pool?.waitedMs], [1, 300]);
  assertEquals(error.cause, "enough");
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a request that holds a connection is refused instead of waiting for a second one", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 2, maxOverflow: 0 });
  const [one, other] = [OwnerScope.request(), OwnerScope.request()];
  const leases = [await pool.acquire({ scope: one }), await pool.acquire({ scope: one })];
  const error = await assertRejects(() => pool.acquire({ scope: one }), ScopeError);
  assertEquals(error.pool?.leased, 2);
  assertStringIncludes(error.message, "use one session for the whole request");
  assertEquals(pool.stats().counters.holdAndWait, 1);
  // A request without a connection may wait, and so may one that has returned its own.
  const waiting = pool.acquire({ scope: other });
  for (const lease of leases) await lease.destroy();
  const again = pool.acquire({ scope: one });
  await Promise.all([(await waiting).destroy(), (await again).destroy()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a caller that wants a fresh connection goes ahead of the other waiters", async () => {
  const pool = poolOf(new ScriptedDriver(), SMALL);
  const lease = await pool.acquire({ scope });
  const order: string[] = [];
  const waiting = pool.acquire({ scope }).then((lease) => {
    order.push("waiting");
    return lease;
  });
  const fresh = pool.acquire({ scope, fresh: true }).then((lease) => {
    order.push("fresh");
    return lease;
  });
  await lease.destroy();
  await (await fresh).release();
  await (await waiting).release();
  assertEquals(order, ["fresh", "waiting"]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("connections that come back while a caller waits for a fresh one are kept, as a new one is opening", async () => {
  const gate = Promise.withResolvers<void>();
  let connects = 0;
  const driver = new ScriptedDriver({ onConnect: () => ++connects > 4 ? gate.promise : undefined });
  const pool = poolOf(driver, { size: 5, maxOverflow: 5 });
  const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire({ scope })));
  const fresh = pool.acquire({ scope, fresh: true });
  await Promise.all(leases.map((lease) => lease.release()));
  assertEquals([pool.stats().idle, pool.stats().counters.overflowClosed], [4, 0]);
  gate.resolve();
  await (await fresh).release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection that comes back goes to the next caller that takes a used one, although another waits for a fresh one", async () => {
  const gate = Promise.withResolvers<void>();
  let connects = 0;
  const driver = new ScriptedDriver({ onConnect: () => ++connects > 1 ? gate.promise : undefined });
  const pool = poolOf(driver, { size: 1, maxOverflow: 1 });
  const lease = await pool.acquire({ scope });
  const fresh = pool.acquire({ scope, fresh: true });
  const waiting = pool.acquire({ scope });
  await lease.release();
  const next = await waiting;
  assertEquals(next.connection, lease.connection);
  gate.resolve();
  await Promise.all([next.release(), (await fresh).release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a request may wait for a second connection while another request has an idle one", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 2, maxOverflow: 0 });
  const [one, other] = [OwnerScope.request(), OwnerScope.request()];
  const lease = await pool.acquire({ scope: one });
  await (await pool.acquire({ scope: other })).release();
  assertEquals(pool.stats().idle, 1);
  const second = await pool.acquire({ scope: one });
  await Promise.all([lease.release(), second.release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a permit is free as soon as its connection is dead, though the lease is still held", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, SMALL);
  const dead = await pool.acquire({ scope });
  driver.connections[0]!.cut();
  await flushPromises();
  assertEquals(pool.stats().leased, 0);
  const next = await pool.acquire({ scope });
  await dead.release();
  assertEquals(pool.stats().leased, 1);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});
