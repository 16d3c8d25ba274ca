/** A request that holds a lease does not wait until another request returns its own. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Lease, OwnerScope, type Pool, ScopeError, sql } from "../../../src/db/mod.ts";
import { LeaseHolder } from "../../../src/db/pool/lease_holder.ts";
import { dropBefore } from "../../support/fault_actions.ts";
import { faultBranch } from "../../support/fault_branch.ts";
import { COMMITTED } from "../../support/fault_points.ts";
import { localDatabase } from "../../support/local_database.ts";
import { flushPromises } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const scope = OwnerScope.lasting();

/** How requests are told apart: on Deno and in a Durable Object they share a scope, on Workers each has its own. */
const HOSTS = {
  "in one scope": () => ({ scope, holder: new LeaseHolder() }),
  "in scopes of their own": () => ({ scope: OwnerScope.request() }),
};

type Request = ReturnType<typeof HOSTS[keyof typeof HOSTS]>;

/** A port's message may overtake the last promise callbacks. */
async function flushAll(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await flushPromises();
}

/** The call's outcome after all promises have settled, without any time passing. */
async function tryAcquire(
  pool: Pool,
  options: Parameters<Pool["acquire"]>[0],
): Promise<{ outcome: string; lease?: Lease }> {
  const call: { outcome: string; lease?: Lease } = { outcome: "waiting" };
  pool.acquire(options).then((lease) => {
    Object.assign(call, { outcome: "leased", lease });
  }, (error: Error) => {
    call.outcome = error.name;
  });
  await flushAll();
  return call;
}

for (const [where, newRequest] of Object.entries(HOSTS)) {
  Deno.test(`requests ${where}: two callers of one request wait; when one is served, the other is refused unless a permit is left for it`, async () => {
    for (const size of [1, 2]) {
      const pool = poolOf(new ScriptedDriver(), { size, maxOverflow: 0 });
      const held = await Promise.all(
        Array.from({ length: size }, () => pool.acquire(newRequest())),
      );
      const request = newRequest();
      const calls = [await tryAcquire(pool, request), await tryAcquire(pool, request)];
      assertEquals(calls.map(({ outcome }) => outcome), ["waiting", "waiting"]);
      // In one turn, so that both permits are free at the first grant.
      await Promise.all(held.map((lease) => lease.destroy()));
      await flushAll();
      assertEquals(calls.map(({ outcome }) => outcome), [
        "leased",
        size === 1 ? "ScopeError" : "leased",
      ]);
      assertEquals(pool.stats().counters.holdAndWait, size === 1 ? 1 : 0);
      for (const { lease } of calls) void lease?.release();
      await pool.close({ timeoutMs: 0 });
    }
  });

  Deno.test(`requests ${where}: callers of one request that find permits free are all served, on a warm pool too`, async () => {
    const pool = poolOf(new ScriptedDriver(), { size: 5, maxOverflow: 0 });
    const request = newRequest();
    for (let rounds = 0; rounds < 2; rounds++) {
      await (await pool.acquire(request)).release();
      const leases = await Promise.all([1, 2, 3, 4, 5].map(() => pool.acquire(request)));
      await assertRejects(() => pool.acquire(request), ScopeError);
      for (const lease of leases) await lease.destroy();
    }
    await pool.close({ timeoutMs: 0 });
  });

  Deno.test(`requests ${where}: a caller whose connection has died gets another one, although its request holds a lease and others wait`, async () => {
    const driver = new ScriptedDriver();
    const pool = poolOf(driver, { size: 2, maxOverflow: 0 });
    const request: Request = newRequest();
    const [outer, inner] = [await pool.acquire(request), await pool.acquire(request)];
    const other = await tryAcquire(pool, newRequest());
    void inner.destroy();
    const fresh = await tryAcquire(pool, { ...request, fresh: true });
    assertEquals([fresh.outcome, other.outcome], ["leased", "waiting"]);
    await Promise.all([fresh.lease!.release(), outer.destroy()]);
    await flushAll();
    await pool.close({ timeoutMs: 0 });
  });
}

Deno.test("a lease counts until it is returned or its connection dies, and no longer", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 3, maxOverflow: 0 });
  const holder = new LeaseHolder();
  const leases = await Promise.all([1, 2, 3].map(() => pool.acquire({ scope, holder })));
  assertEquals({ ...holder }, { leased: 3, waiting: 0 });
  driver.connections[0]!.cut();
  await flushAll();
  assertEquals(holder.leased, 2);
  // The pool still rolls back.
  await leases[1]!.connection.flight([{ text: "begin", values: [] }]);
  const returned = leases[1]!.release();
  assertEquals(holder.leased, 1);
  void leases[2]!.destroy();
  assertEquals(holder.leased, 0);
  await returned;
  for (const lease of leases) await Promise.all([lease.release(), lease.destroy()]);
  assertEquals({ ...holder }, { leased: 0, waiting: 0 });
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a request that holds a lease waits for a connection that another one has returned and the pool is resetting", async () => {
  const gate = Promise.withResolvers<undefined>();
  const driver = new ScriptedDriver({
    reply: ({ text }) => text === "ROLLBACK" ? gate.promise : undefined,
  });
  const pool = poolOf(driver, { size: 2, maxOverflow: 0 });
  const holder = new LeaseHolder();
  const [held, other] = [await pool.acquire({ scope, holder }), await pool.acquire({ scope })];
  await other.connection.flight([{ text: "begin", values: [] }]);
  void other.release();
  const second = await tryAcquire(pool, { scope, holder });
  const third = await tryAcquire(pool, { scope, holder });
  assertEquals([second.outcome, third.outcome], ["waiting", "ScopeError"]);
  gate.resolve(undefined);
  await flushAll();
  assertEquals(second.outcome, "leased");
  await Promise.all([held.release(), second.lease!.release()]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("callers without a request wait, whatever they hold", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  const second = await tryAcquire(pool, { scope });
  assertEquals(second.outcome, "waiting");
  await lease.release();
  await flushAll();
  assertEquals(second.outcome, "leased");
  await second.lease!.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("each view of a database counts the leases of its own request, and a Worker's request has one view", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  await using db = databaseOf(pool);
  const [one, other] = [db.forRequest(), db.forRequest()];
  await using session = one.session();
  await session.query(sql`select 1`);
  await assertRejects(() => one.session().query(sql`select 1`), ScopeError);
  const waiting = [db, other].map((view) =>
    view.transaction((session) => session.commit([sql`select 1`]))
  );
  await flushAll();
  assertEquals(pool.stats().waiting, 2);
  await session.rollback();
  await Promise.all(waiting);

  const ofWorker = db.forOwner({ scope: OwnerScope.request(), waitUntil: () => {} });
  assert(ofWorker.forRequest() === ofWorker);
});

const database = await localDatabase();

Deno.test("a lost COMMIT of an inner unit is settled while the outer one holds its connection and others wait", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open({ DATABASE_POOL_SIZE: "2", DATABASE_MAX_OVERFLOW: "0" });
  const request = db.forRequest();
  const waiting: Promise<unknown>[] = [];
  const answer = await request.transaction(async (outer) => {
    await outer.query(sql`select 1`);
    const lost = branch.relay.when(COMMITTED, dropBefore());
    const inner = await request.transaction(async (session) => {
      const [row] = await session.query(sql<{ xid: string }>`
        select pg_current_xact_id()::text as xid`);
      for (let callers = 0; callers < 3; callers++) {
        waiting.push(db.transaction((session) => session.commit([sql`select 1`])));
      }
      await session.commit();
      return row!.xid;
    });
    assertEquals(lost.strikes, 1);
    await outer.commit();
    return inner;
  });
  assert(/^\d+$/.test(answer));
  assertEquals(db.stats().resolved, 1);
  await Promise.all(waiting);
});
