/**
 * Faults of other pools, reported by their users or found by running them, and the tests that guard this pool against
 * each: here, or beside the other tests of the behaviour. The faults that only Workers have are in `tests/workerd`.
 */
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { glob } from "node:fs/promises";
import {
  AcquireTimeoutError,
  type Clock,
  ConnectError,
  OwnerScope,
  ServerError,
  sql,
} from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

interface KnownFault {
  readonly fault: string;
  /** Where it was seen: issues by their number; without a number, by running that pool. */
  readonly of: string;
  /** Test names as they are written in the source. */
  readonly guards: readonly string[];
}

const KNOWN_FAULTS: readonly KnownFault[] = [
  // Waiting.
  {
    fault: "A waiter sleeps on although a permit is free, because a failed connect woke no waiter",
    of: "SQLAlchemy QueuePool; Prisma #7644, #4280",
    guards: [
      "a failed connect wakes the next waiter",
      "a pool keeps its rules through ${RUNS} histories (seed ${SEED})",
    ],
  },
  {
    fault: "A waiter is tied to the connection that was opened for it",
    of: "pg-pool, Neon's Pool",
    guards: [
      "a waiter takes the connection that comes free first, not the one that was opened for it",
    ],
  },
  {
    fault: "A later caller overtakes the waiters",
    of: "SQLAlchemy, HikariCP",
    guards: [
      "a later caller does not overtake the waiters",
      "waiters are served in the order in which they came",
    ],
  },
  {
    fault: "A wait has no end, or its timeout counts only the queue, or only the connect",
    of: "pg-pool, Slonik; porsager/postgres #824; node-postgres #3197, #2276; pgx #2350",
    guards: [
      "the acquire timeout covers the wait for a connect too",
      "a waiter that times out leaves the queue, and its error names the pool's state",
    ],
  },
  {
    fault: "A waiter cannot give up, or takes its half-opened connection with it when it does",
    of: "node-postgres #2774, #2625, #773; pgx #1259, #1287",
    guards: [
      "a waiter whose signal aborts leaves at once, and the next one is served",
      "a connection that opens after its caller has given up goes to the pool",
    ],
  },
  {
    fault: "A pool that was exhausted once never serves again",
    of: "Prisma #24844",
    guards: ["a pool whose waiters all timed out serves again once its lease is back"],
  },
  {
    fault: "The queue has no bound",
    of: "SQLAlchemy, pg-pool, HikariCP, pgxpool",
    guards: [
      "acquire() refuses at once when the queue is full",
      "at four times its capacity a pool is never idle, refuses at once, and lets none wait for long",
    ],
  },

  // Opening.
  {
    fault: "connect() proves nothing, and the first query on a silent server hangs",
    of:
      "Neon's Client with a pipelined password; neondatabase/serverless #11, #45; porsager/postgres #1203",
    guards: [
      "a relay that stays silent fails the first flight at the connect's deadline",
      "a relay that never answers the upgrade fails the connect at its deadline",
    ],
  },
  {
    fault: "A failed WebSocket is no Error, and a refused login ends the process",
    of: "neondatabase/serverless #126, #140",
    guards: [
      "a relay that refuses is a ConnectError",
      "a relay that vanishes before the first answer is a ConnectError",
      "a wrong password is a ConnectError with the server's SQLSTATE, and without the password",
    ],
  },
  {
    fault: "All callers try a dead database again, or wait for it, at the same time",
    of: "pg-pool, SQLAlchemy",
    guards: [
      "while the database ${what} for 10 s all but the probes are refused at once, and its return is seen within a second",
    ],
  },

  // Dying.
  {
    fault:
      "A connection that dies, idle or leased, emits an event without a listener, which ends the process",
    of:
      "neondatabase/serverless #162, #168, #10, #131; node-postgres #2439, #3202, #2386, #3260; Prisma PR #30081",
    guards: [
      "an idle connection that is cut is closed, with the reason",
      "a flight is rejected when its socket was closed on this side",
      "a connection that dies while it is leased is not kept, and its permit serves the next waiter",
    ],
  },
  {
    fault: "A dead connection is leased, and its caller gets the error",
    of: "node-postgres #1075; pgx #590, #936",
    guards: [
      "an idle connection that dies frees its permit",
      "${CALLERS} ${kind} after all idle backends were killed unnoticed: all succeed, ",
    ],
  },
  {
    fault: "acquire() loops for ever over dead connections",
    of: "pgx #2330",
    guards: ["acquire() skips any number of dead idle connections, and opens one"],
  },
  {
    fault: "A ping before or after each use costs round trips, or hangs",
    of: "SQLAlchemy #10226, sqlx; pgx #2394",
    guards: ["nothing but the caller's flights is sent on a connection that is reused"],
  },
  {
    fault: "After an error a connection is 'not queryable', and no error gives the reason",
    of: "node-postgres #1790",
    guards: [
      "a flight is rejected when the connection is cut, and so is the next",
      "a session may be ended twice, and its use after the end throws",
    ],
  },

  // Growing old.
  {
    fault: "All connections are replaced at the same moment, or rounding removes the jitter",
    of: "SQLAlchemy, pg-pool, sqlx; pgxpool's whole seconds",
    guards: ["a connection is replaced at its age, less up to a tenth"],
  },
  {
    fault: "A clock that is set back keeps connections for ever, or closes them all",
    of: "SQLAlchemy's time.time(), HikariCP's eviction",
    guards: ["a clock that goes back closes nothing and keeps nothing for longer"],
  },
  {
    fault: "A timer whose cancel had no effect ends the wait of another caller",
    of: "workerd: clearTimeout() of another request's timer",
    guards: ["a timer that fires although it was cancelled changes nothing"],
  },

  // Returning a lease.
  {
    fault: "An open transaction is handed to the next caller",
    of: "node-postgres #391; pgx PR #2481, #787, #279",
    guards: [
      "release() rolls an open transaction back before the next caller gets the connection",
      "release() closes a connection whose rollback is not answered",
      "a connection whose ROLLBACK is refused is closed, not handed on",
    ],
  },
  {
    fault: "Settings of one caller reach the next",
    of: "node-postgres #391; deadpool #57",
    guards: [
      "a transaction begins with the session's settings, and none of them stays on the connection",
    ],
  },
  {
    fault: "A failed BEGIN, COMMIT or statement leaks its connection",
    of: "drizzle-orm #6241, #6341, #6023, #6114; Prisma #12510",
    guards: [
      "a session whose BEGIN is refused gives its connection back",
      "a failed change releases its connection",
    ],
  },
  {
    fault: "Releasing twice frees two permits",
    of: "Prisma #23367",
    guards: ["a lease is returned once, however often release() and destroy() are called"],
  },
  {
    fault:
      "A statement that timed out on the client goes on running on the server, or its connection is used again",
    of: "Neon's query_timeout; node-postgres #2774",
    guards: [
      "an aborted session's statement is stopped on the server",
      "an aborted signal cancels the statement on the server, and then closes the connection",
    ],
  },

  // Ending.
  {
    fault: "end() leaves the waiters pending for ever",
    of: "Neon's Pool, pg-pool; node-postgres #1980; porsager/postgres #861",
    guards: [
      "close() fails the waiters, lets leases finish, and resolves when all sockets are shut",
    ],
  },
  {
    fault:
      "end() never resolves: for a lease that does not come back, or a socket that never opened",
    of: "node-postgres #2199, #1988, #2341, #2648, #3152",
    guards: [
      "close() closes what is still leased at its deadline",
      "close() does not wait for a connect that hangs",
    ],
  },
  {
    fault: "end() resolves before the sockets are shut, or leaves leased ones alive",
    of: "node-postgres #2328; SQLAlchemy's dispose()",
    guards: ["close() does not resolve before its last socket is shut"],
  },

  // Committing and retrying.
  {
    fault: "A COMMIT that was answered ROLLBACK counts as committed",
    of: "node-postgres #1721",
    guards: ["commit() that is answered ROLLBACK throws"],
  },
  {
    fault: "A unit whose COMMIT lost its answer is run twice",
    of: "pgx #1223; Slonik, which tries 40003 again",
    guards: [
      "transaction() never retries a unit whose COMMIT may have taken effect",
      "${sqlState} in answer to COMMIT leaves the outcome unknown",
    ],
  },
  {
    fault: "A unit that waits for its next attempt holds its connection meanwhile",
    of: "Slonik",
    guards: ["transaction() gives the connection back before it waits for the next attempt"],
  },
];

const scope = OwnerScope.lasting();

Deno.test("a failed connect wakes the next waiter", async () => {
  const refused = Promise.withResolvers<void>();
  let connects = 0;
  const driver = new ScriptedDriver({
    onConnect: () => ++connects === 1 ? refused.promise : undefined,
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0, clock: new ManualClock() });
  const first = assertRejects(() => pool.acquire({ scope }), ConnectError);
  const second = pool.acquire({ scope });
  refused.reject(new Error("refused"));
  await first;
  await (await second).release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a later caller does not overtake the waiters", async () => {
  const pool = poolOf(new ScriptedDriver(), { size: 1, maxOverflow: 0 });
  const holder = await pool.acquire({ scope });
  const served: string[] = [];
  const acquireAs = async (name: string) => {
    const lease = await pool.acquire({ scope });
    served.push(name);
    await lease.release();
  };
  const waiting = acquireAs("waiter");
  const released = holder.release();
  await Promise.all([acquireAs("newcomer"), released, waiting]);
  assertEquals(served, ["waiter", "newcomer"]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("the acquire timeout covers the wait for a connect too", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({ onConnect: () => new Promise(() => {}) });
  const pool = poolOf(driver, { acquireTimeoutMs: 100, connectTimeoutMs: 15_000, clock });
  const waiting = assertRejects(() => pool.acquire({ scope }), AcquireTimeoutError, "1 opening");
  await clock.advance(100);
  await waiting;
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a pool whose waiters all timed out serves again once its lease is back", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), {
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: 100,
    clock,
  });
  const holder = await pool.acquire({ scope });
  const waiters = Array.from(
    { length: 50 },
    () => assertRejects(() => pool.acquire({ scope }), AcquireTimeoutError),
  );
  await clock.advance(100);
  await Promise.all(waiters);
  await holder.release();
  const next = await pool.acquire({ scope });
  assertStrictEquals(next.connection, holder.connection);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection that dies while it is leased is not kept, and its permit serves the next waiter", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  const waiting = pool.acquire({ scope });
  driver.connections[0]!.cut();
  await flushPromises();
  await lease.release();
  const next = await waiting;
  assertStrictEquals(next.connection, driver.connections[1]!);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("acquire() skips any number of dead idle connections, and opens one", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { size: 20 });
  const leases = await Promise.all(Array.from({ length: 20 }, () => pool.acquire({ scope })));
  await Promise.all(leases.map((lease) => lease.release()));
  for (const connection of driver.connections) connection.state = "closed";
  const lease = await pool.acquire({ scope });
  assertEquals(driver.connections.length, 21);
  assertEquals(lease.connection.state, "idle");
  await lease.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("nothing but the caller's flights is sent on a connection that is reused", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, { clock, idleTimeoutMs: 60_000 });
  for (let use = 0; use < 3; use++) {
    const lease = await pool.acquire({ scope });
    await lease.connection.flight([{ text: `select ${use}`, values: [] }]);
    await lease.release();
    await clock.advance(30_000);
  }
  const flights = driver.connections.map(({ flights }) => flights);
  assertEquals(flights, [[["select 0"], ["select 1"], ["select 2"]]]);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a clock that goes back closes nothing and keeps nothing for longer", async () => {
  const clock = new ManualClock();
  let setBackMs = 0;
  const driver = new ScriptedDriver();
  const pool = poolOf(driver, {
    recycleMs: 2_000,
    idleTimeoutMs: 10_000,
    random: () => 0,
    clock: { now: () => clock.now() - setBackMs, after: (ms, call) => clock.after(ms, call) },
  });
  await clock.advance(1_000);
  const lease = await pool.acquire({ scope });
  await lease.release();
  setBackMs = 900;
  await (await pool.acquire({ scope })).release();
  assertEquals(driver.connections.length, 1);
  setBackMs = 0;
  await clock.advance(2_000);
  await flushPromises();
  assertEquals(driver.open.length, 0);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a timer that fires although it was cancelled changes nothing", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver();
  const uncancellable: Clock = {
    now: () => clock.now(),
    after(ms, call) {
      clock.after(ms, call);
      return () => {};
    },
  };
  const pool = poolOf(driver, {
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: 100,
    idleTimeoutMs: 150,
    clock: uncancellable,
  });
  const first = await pool.acquire({ scope });
  const second = pool.acquire({ scope });
  await clock.advance(50);
  await first.release();
  const lease = await second;
  const third = pool.acquire({ scope });
  // The second caller's timeout has passed, the third one's has not.
  await clock.advance(60);
  assertEquals(pool.stats(), { ...pool.stats(), leased: 1, waiting: 1 });
  await lease.release();
  await (await third).release();
  assertEquals(pool.stats().counters.timedOut, 0);
  await clock.advance(149);
  assertEquals(driver.open.length, 1);
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a connection whose ROLLBACK is refused is closed, not handed on", async () => {
  const driver = new ScriptedDriver({
    reply: ({ text }) => text === "ROLLBACK" ? serverError("XX000", "cannot") : undefined,
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  const lease = await pool.acquire({ scope });
  await lease.connection.flight([{ text: "begin", values: [] }]);
  await lease.release();
  const next = await pool.acquire({ scope });
  assertEquals(driver.connections.map(({ state }) => state), ["closed", "idle"]);
  await next.release();
  await pool.close({ timeoutMs: 0 });
});

Deno.test("a session whose BEGIN is refused gives its connection back", async () => {
  const refusal = serverError("25006", "no transaction now");
  const driver = new ScriptedDriver({
    reply: ({ text }) => text.startsWith("begin") ? refusal : undefined,
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  await using db = databaseOf(pool);
  for (let unit = 0; unit < 3; unit++) {
    await assertRejects(
      () => db.transaction((session) => session.query(sql`select 1`)),
      ServerError,
      "no transaction now",
    );
    assertEquals(pool.stats().leased, 0);
  }
});

Deno.test("close() does not resolve before its last socket is shut", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  await (await pool.acquire({ scope })).release();
  const goodbye = Promise.withResolvers<void>();
  driver.connections[0]!.goodbye = goodbye.promise;
  let isClosed = false;
  const closed = pool.close({ timeoutMs: 0 }).then(() => {
    isClosed = true;
  });
  await flushPromises();
  assertEquals(isClosed, false);
  goodbye.resolve();
  await closed;
  assertEquals(isClosed, true);
});

Deno.test("every known fault has guards, and each guard is a test", async () => {
  const tests = new URL("../../", import.meta.url);
  const named = /(?:Deno\.test\(|\bname:|withConnection\(|sessionCase\()\s*(["`])(.*?)\1/g;
  const names = new Set<string>();
  for await (const path of glob("**/*.ts", { cwd: tests })) {
    const source = await Deno.readTextFile(new URL(path, tests));
    for (const [, , name] of source.matchAll(named)) names.add(name!);
  }
  const missing = KNOWN_FAULTS.flatMap(({ guards }) => guards.filter((name) => !names.has(name)));
  assertEquals(missing, []);
  assertEquals(KNOWN_FAULTS.filter(({ guards }) => guards.length === 0), []);
});
