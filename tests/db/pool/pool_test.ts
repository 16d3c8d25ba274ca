import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectError,
  DeadlineError,
  OwnerScope,
  PoolClosedError,
  PoolOverloadedError,
} from "../../../src/db/mod.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { poolOf } from "../../support/test_pool.ts";
import {
  type ScriptedConnection,
  ScriptedDriver,
  serverError,
} from "../../support/scripted_driver.ts";

const scope = OwnerScope.lasting();

Deno.test("acquire() opens a connection only when none is idle", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  const first = await pool.acquire({ scope });
  await first.release();
  const second = await pool.acquire({ scope });
  assertEquals(second.connection, first.connection);
  assertEquals(driver.connections.length, 1);
  await second.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() takes the most recently used idle connection", async () => {
  const pool = poolOf(new ScriptedDriver());
  const [one, other] = await Promise.all([pool.acquire({ scope }), pool.acquire({ scope })]);
  await one.release();
  await other.release();
  const next = await pool.acquire({ scope });
  assertEquals(next.connection, other.connection);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() never has more connections than size and overflow together", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 2, maxOverflow: 1 });
  const leases = await Promise.all([1, 2, 3].map(() => pool.acquire({ scope })));
  const fourth = pool.acquire({ scope });
  await flushPromises();
  assertEquals(driver.connections.length, 3);
  assertEquals(pool.stats().waiting, 1);
  await leases[0]!.release();
  await (await fourth).release();
  await Promise.all(leases.map((lease) => lease.release()));
  assertEquals(driver.connections.length, 3);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("waiters are served in the order in which they came", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  const holder = await pool.acquire({ scope });
  const served: number[] = [];
  const waits = [1, 2, 3].map(async (turn) => {
    const lease = await pool.acquire({ scope });
    served.push(turn);
    await lease.release();
  });
  await holder.release();
  await Promise.all(waits);
  assertEquals(served, [1, 2, 3]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a waiter takes the connection that comes free first, not the one that was opened for it", async () => {
  const slow = Promise.withResolvers<void>();
  let connects = 0;
  const driver = new ScriptedDriver({
    onConnect: () => (++connects === 2 ? slow.promise : undefined),
  });
  const pool = poolOf(driver, { size: 2, maxOverflow: 0 });
  const first = await pool.acquire({ scope });
  const waiting = pool.acquire({ scope });
  await first.release();
  const second = await waiting;
  assertEquals(second.connection, first.connection);
  slow.resolve();
  await flushPromises();
  assertEquals(pool.stats().idle, 1);
  await second.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a waiter that times out leaves the queue, and its error names the pool's state", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), {
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: 500,
    clock,
  });
  const holder = await pool.acquire({ scope });
  const waiting = assertRejects(() => pool.acquire({ scope }), AcquireTimeoutError);
  await clock.advance(500);
  const error = await waiting;
  assertStringIncludes(error.message, "waited 500 ms");
  assertEquals(error.pool?.waitedMs, 500);
  assertStringIncludes(error.message, "1 leased, 0 idle, 0 opening, 0 closing of 1");
  assertEquals(pool.stats().waiting, 0);
  assertEquals(pool.stats().counters.timedOut, 1);
  await holder.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a waiter whose signal aborts leaves at once, and the next one is served", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  const holder = await pool.acquire({ scope });
  const gaveUp = new AbortController();
  const first = assertRejects(
    () => pool.acquire({ scope, signal: gaveUp.signal }),
    DeadlineError,
  );
  const second = pool.acquire({ scope });
  gaveUp.abort();
  await first;
  assertEquals(pool.stats().waiting, 1);
  await holder.release();
  await (await second).release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() refuses a caller whose signal has aborted already", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  await assertRejects(() => pool.acquire({ scope, signal: AbortSignal.abort() }), DeadlineError);
  assertEquals(driver.connections.length, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection that opens after its caller has given up goes to the pool", async () => {
  const slow = Promise.withResolvers<void>();
  const driver = new ScriptedDriver({ onConnect: () => slow.promise });
  const pool = poolOf(driver);
  const gaveUp = new AbortController();
  const refusal = assertRejects(
    () => pool.acquire({ scope, signal: gaveUp.signal }),
    DeadlineError,
  );
  gaveUp.abort();
  await refusal;
  slow.resolve();
  await flushPromises();
  assertEquals(pool.stats().idle, 1);
  const lease = await pool.acquire({ scope });
  assertEquals(driver.connections.length, 1);
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() refuses at once when the queue is full", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0, maxWaiters: 1 });
  const holder = await pool.acquire({ scope });
  const waiting = pool.acquire({ scope });
  const error = await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  assertStringIncludes(error.message, "the queue is full");
  assert(error.retryAfterMs > 0);
  await holder.release();
  await (await waiting).release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a caller for whom a permit is left counts as no waiter", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 3, maxOverflow: 0, maxWaiters: 0 });
  const opening = [1, 2, 3].map(() => pool.acquire({ scope }));
  await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError, "the queue is full");
  const [first, ...others] = await Promise.all(opening);
  await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError, "the queue is full");
  await first!.release();
  await (await pool.acquire({ scope })).release();
  for (const lease of others) await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a failed connect rejects the first waiter, and wakes the next", async () => {
  let connects = 0;
  const clock = new ManualClock();
  const driver = new ScriptedDriver({
    onConnect() {
      if (++connects === 1) throw new Error("refused");
    },
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0, clock });
  const first = assertRejects(() => pool.acquire({ scope }), ConnectError);
  await first;
  await clock.advance(1_000);
  const second = await pool.acquire({ scope });
  await second.release();
  assertEquals(pool.stats().idle, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("while the database cannot be reached, one probe per window is sent and all other callers are refused", async () => {
  const clock = new ManualClock();
  let isDown = true;
  const driver = new ScriptedDriver({
    onConnect() {
      if (isDown) throw new Error("refused");
    },
  });
  const pool = poolOf(driver, { clock, random: () => 1 });
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  const refusal = await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  assertInstanceOf(refusal.cause, ConnectError);
  assertEquals(driver.connections.length, 2);
  await clock.advance(500);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
  assertEquals(driver.connections.length, 3);
  isDown = false;
  await clock.advance(500);
  const lease = await pool.acquire({ scope });
  await flushPromises();
  const other = await pool.acquire({ scope });
  await Promise.all([lease.release(), other.release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a hanging probe does not delay the next window's probe", async () => {
  const clock = new ManualClock();
  const hanging = Promise.withResolvers<void>();
  let connects = 0;
  const driver = new ScriptedDriver({
    onConnect() {
      connects++;
      if (connects <= 2) throw new Error("refused");
      return connects === 3 ? hanging.promise : undefined;
    },
  });
  const pool = poolOf(driver, { clock, random: () => 1 });
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await clock.advance(500);
  const probe = pool.acquire({ scope });
  await flushPromises();
  await clock.advance(500);
  const next = pool.acquire({ scope });
  // The second probe serves it; the first one still hangs.
  await (await probe).release();
  await (await next).release();
  assertEquals(connects, 4);
  hanging.resolve();
  await flushPromises();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a waiter that is kept for another caller's lease still gets the next window's probe", async () => {
  const clock = new ManualClock();
  let isFull = false;
  const driver = new ScriptedDriver({
    onConnect() {
      if (isFull) throw new Error("too many connections");
    },
  });
  const pool = poolOf(driver, { clock });
  const holder = await pool.acquire({ scope });
  isFull = true;
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  await assertRejects(() => pool.acquire({ scope }), ConnectError);
  const waiting = pool.acquire({ scope });
  await flushPromises();
  assertEquals(pool.stats().waiting, 1);
  isFull = false;
  await clock.advance(500);
  await (await waiting).release();
  await holder.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection that is idle beside `size` others is closed after a second", async () => {
  const driver = new ScriptedDriver();
  const clock = new ManualClock();
  const pool = poolOf(driver, { size: 1, maxOverflow: 2, clock });
  const leases = await Promise.all([1, 2, 3].map(() => pool.acquire({ scope })));
  await Promise.all(leases.map((lease) => lease.release()));
  await clock.advance(999);
  assertEquals([pool.stats().idle, driver.open.length], [3, 3]);
  await clock.advance(1);
  assertEquals(pool.stats().idle, 1);
  assertEquals(driver.open.length, 1);
  assertEquals(pool.stats().counters.overflowClosed, 2);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a load that needs more than `size` connections does not log in again", async () => {
  const driver = new ScriptedDriver();
  const clock = new ManualClock();
  const pool = poolOf(driver, { size: 1, maxOverflow: 2, clock });
  for (let round = 0; round < 20; round++) {
    const leases = await Promise.all([1, 2, 3].map(() => pool.acquire({ scope })));
    await Promise.all(leases.map((lease) => lease.release()));
    await clock.advance(500);
  }
  assertEquals(driver.connections.length, 3);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("giveBack() does not wait for a login, and the connection is kept once it has logged in", async () => {
  const driver = new ScriptedDriver({ pipelined: true });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  assertEquals(lease.connection.state, "opening");
  await lease.giveBack();
  assertEquals(pool.stats().leased, 1);
  driver.connections[0]!.logIn();
  await flushPromises();
  assertEquals(pool.stats().idle, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("release() rolls an open transaction back before the next caller gets the connection", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  await lease.connection.flight([{ text: "begin", values: [] }]);
  await lease.release();
  assertEquals(driver.connections[0]!.flights, [["begin"], ["ROLLBACK"]]);
  assertEquals(pool.stats().idle, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("release() closes a connection whose rollback is not answered", async () => {
  const driver = new ScriptedDriver({
    reply({ text }, connection) {
      if (text === "ROLLBACK") connection.cut();
      return undefined;
    },
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  await lease.connection.flight([{ text: "begin", values: [] }]);
  await lease.release();
  await flushPromises();
  assertEquals(pool.stats().idle, 0);
  assertEquals(pool.stats().counters.broken, 1);
  const next = await pool.acquire({ scope });
  assertEquals(driver.connections.length, 2);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a lease is returned once, however often release() and destroy() are called", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  await lease.release();
  const next = await pool.acquire({ scope });
  await lease.release();
  await lease.destroy();
  assertEquals(pool.stats().leased, 1);
  assertEquals(next.connection.state, "idle");
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a permit is free when the peer has closed, not when this side has", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  const goodbye = Promise.withResolvers<void>();
  driver.connections[0]!.goodbye = goodbye.promise;
  const destroyed = lease.destroy();
  const waiting = pool.acquire({ scope });
  await flushPromises();
  assertEquals(driver.connections.length, 1);
  goodbye.resolve();
  await destroyed;
  await (await waiting).release();
  assertEquals(driver.connections.length, 2);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("an idle connection that dies frees its permit", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  await (await pool.acquire({ scope })).release();
  driver.connections[0]!.cut();
  await flushPromises();
  assertEquals(pool.stats().idle, 0);
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 2);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() skips an idle connection that has died unnoticed", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  await (await pool.acquire({ scope })).release();
  driver.connections[0]!.state = "closed";
  const lease = await pool.acquire({ scope });
  assertEquals(lease.connection, driver.connections[1]);
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection is replaced at its age, less up to a tenth", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { recycleMs: 1_000, clock, random: () => 0.5 });
  await (await pool.acquire({ scope })).release();
  await clock.advance(949);
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 1);
  await clock.advance(1);
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 2);
  assertEquals(pool.stats().counters.recycled, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection that grew too old while leased is not kept", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { recycleMs: 1_000, clock, random: () => 0 });
  const lease = await pool.acquire({ scope });
  await clock.advance(1_000);
  await lease.release();
  await flushPromises();
  assertEquals(driver.open.length, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("with a `recycleMs` of 0 each use has a connection of its own", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { recycleMs: 0, clock: new ManualClock() });
  for (const uses of [1, 2, 3]) {
    await (await pool.acquire({ scope })).release();
    await flushPromises();
    assertEquals(driver.connections.length, uses);
    assertEquals(driver.open.length, 0);
  }
  await pool.close({ timeoutMs: 0 });
});

Deno.test("two kills within a second close all older connections, a single kill only one", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 4, clock });
  const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire({ scope })));
  await Promise.all(leases.map((lease) => lease.release()));
  const kill = async (index: number) => {
    driver.connections[index]!.cut({ fatal: serverError("57P01", "terminating", "FATAL") });
    await flushPromises();
  };
  await kill(0);
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 4);
  await kill(1);
  const fresh = await pool.acquire({ scope });
  assertEquals(driver.connections.length, 5);
  assertEquals(pool.stats().counters.staleGeneration, 2);
  await fresh.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("terminations of connections of an earlier generation close no newer connection", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 8, clock: new ManualClock() });
  const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire({ scope })));
  const kill = async (index: number) => {
    driver.connections[index]!.cut({ fatal: serverError("57P01", "terminating", "FATAL") });
    await flushPromises();
  };
  await kill(0);
  await kill(1);
  await (await pool.acquire({ scope })).release();
  await kill(2);
  await kill(3);
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 5);
  assertEquals(pool.stats().counters.staleGeneration, 0);
  await Promise.all(leases.map((lease) => lease.release()));
  await pool.close({ timeoutMs: 0 });
});

Deno.test("an idle connection is closed after the idle timeout, and leaves no timer", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { idleTimeoutMs: 1_000, clock });
  await (await pool.acquire({ scope })).release();
  await clock.advance(999);
  assertEquals(driver.open.length, 1);
  await clock.advance(1);
  assertEquals(driver.open.length, 0);
  assertEquals(clock.pending, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a scope gets no connection of another scope, and does not wait for one", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const [one, other] = [OwnerScope.request(), OwnerScope.request()];
  const lease = await pool.acquire({ scope: one });
  const waiting = pool.acquire({ scope: other });
  await lease.release();
  const second = await waiting;
  assert(second.connection !== lease.connection);
  assertEquals(driver.open.length, 1);
  await second.release();
  await pool.endScope(other);
  assertEquals(driver.open.length, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a request's scope keeps its connection for the request's next session", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  const request = OwnerScope.request();
  await (await pool.acquire({ scope: request })).release();
  await (await pool.acquire({ scope: request })).release();
  assertEquals(driver.connections.length, 1);
  await pool.endScope(request);
  assertEquals(pool.stats().idle, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("close() fails the waiters, lets leases finish, and resolves when all sockets are shut", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  const waiting = assertRejects(() => pool.acquire({ scope }), PoolClosedError);
  const closed = pool.close({ timeoutMs: 10_000 });
  await waiting;
  await assertRejects(() => pool.acquire({ scope }), PoolClosedError);
  await lease.connection.flight([{ text: "select 1", values: [] }]);
  await lease.release();
  await closed;
  assertEquals(driver.open.length, 0);
});

Deno.test("close() closes what is still leased at its deadline", async () => {
  const driver = new ScriptedDriver({ reply: () => new Promise(() => {}) });
  const pool = poolOf(driver);
  const lease = await pool.acquire({ scope });
  const flight = assertRejects(() => lease.connection.flight([{ text: "select 1", values: [] }]));
  await pool.close({ timeoutMs: 0 });
  await flight;
  assertEquals(driver.open.length, 0);
});

Deno.test("close() revokes a lease whose holder has set onRevoke", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  const lease = await pool.acquire({ scope });
  const revoked = Promise.withResolvers<void>();
  lease.onRevoke = revoked.resolve;
  const closed = pool.close({ timeoutMs: 0 });
  await revoked.promise;
  assertEquals(driver.open.length, 1);
  await lease.destroy();
  await closed;
  assertEquals(driver.open.length, 0);
});

Deno.test("close() does not wait for a connect that hangs", async () => {
  const driver = new ScriptedDriver({ onConnect: () => new Promise(() => {}) });
  const pool = poolOf(driver);
  const waiting = assertRejects(() => pool.acquire({ scope }), PoolClosedError);
  await flushPromises();
  await pool.close({ timeoutMs: 10_000 });
  await waiting;
  assertEquals(driver.open.length, 0);
});

Deno.test("close() closes a connection that opens after it", async () => {
  const slow = Promise.withResolvers<void>();
  const opened: ScriptedConnection[] = [];
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, {
    connect: async (options) => {
      await slow.promise;
      const connection = await driver.connect({ timeoutMs: options.timeoutMs });
      opened.push(connection);
      return connection;
    },
  });
  const waiting = assertRejects(() => pool.acquire({ scope }), PoolClosedError);
  await flushPromises();
  await pool.close({ timeoutMs: 0 });
  await waiting;
  slow.resolve();
  await flushPromises();
  assertEquals(opened.map(({ state }) => state), ["closed"]);
});

Deno.test("close() may be called twice", async () => {
  const pool = poolOf(new ScriptedDriver());
  await Promise.all([pool.close({ timeoutMs: 0 }), pool.close({ timeoutMs: 0 })]);
});

Deno.test("a caller whose connection has died is refused neither for a full queue nor for a slow one", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), {
    size: 1,
    maxOverflow: 0,
    maxWaiters: 1,
    shedTargetMs: 100,
    clock,
  });
  const first = await pool.acquire({ scope });
  const behind = pool.acquire({ scope });
  await clock.advance(200);
  void first.destroy();
  const again = await pool.acquire({ scope, fresh: true });
  await again.release();
  await (await behind).release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a pool's bound is a whole number", () => {
  for (const bound of [{ size: Infinity }, { size: 1.5 }, { maxOverflow: Infinity }]) {
    assertThrows(() => poolOf(new ScriptedDriver(), bound), RangeError);
  }
});
