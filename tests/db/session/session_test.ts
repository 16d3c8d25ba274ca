import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  PoolClosedError,
  SessionEndedError,
  sql,
  StatementSkippedError,
} from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { type Reply, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const BEGIN = "begin isolation level read committed";

function scripted(reply?: Reply) {
  const clock = new ManualClock();
  const driver = new ScriptedDriver(reply === undefined ? {} : { reply });
  const pool = poolOf(driver, { clock });
  return { clock, driver, pool, db: databaseOf(pool, { clock }) };
}

/** Flights without the settings that follow BEGIN. */
function flightsOf(driver: ScriptedDriver, connection = 0): string[][] {
  return (driver.connections[connection]?.flights ?? [])
    .map((texts) => texts.filter((text) => !/^select (cardinality|pg_current_xact)/.test(text)));
}

Deno.test("a session that is not used opens no connection", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  {
    await using session = db.session();
    await session.commit();
  }
  assertEquals(driver.connections.length, 0);
});

Deno.test("BEGIN and the timeouts are sent with the first statement", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await using session = db.session({ isolation: "serializable", readOnly: true, deferrable: true });
  await session.query(sql`select 1`);
  const [flight] = driver.connections[0]!.flights;
  assertEquals(flight?.[0], "begin isolation level serializable, read only, deferrable");
  assert(flight?.[1]?.startsWith("select cardinality(array[set_config('DateStyle', 'ISO', true)"));
  assert(flight?.[1]?.includes("set_config($1, $2, true)"));
  assertEquals(flight?.[2], "select 1");
});

Deno.test("commit() with statements is one flight, and its answer returns the lease", async () => {
  const { driver, pool, db } = scripted();
  await using _ = db;
  await using session = db.session({ readOnly: true });
  await session.commit([sql`select 1`, sql`select 2`]);
  assertEquals(pool.stats().leased, 0);
  assertEquals(flightsOf(driver), [[`${BEGIN}, read only`, "select 1", "select 2", "commit"]]);
});

Deno.test("a statement and a later commit() are two flights", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert into t values (${1})`);
  await session.commit();
  assertEquals(flightsOf(driver), [[BEGIN, "insert into t values ($1)"], ["commit"]]);
});

Deno.test("disposal rolls back uncommitted work", async () => {
  const { driver, pool, db } = scripted();
  await using _ = db;
  {
    await using session = db.session();
    await session.query(sql`insert into t values (1)`);
  }
  assertEquals(flightsOf(driver).at(-1), ["ROLLBACK"]);
  assertEquals(pool.stats().idle, 1);
});

Deno.test("a session may be ended twice, and its use after the end throws", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.query(sql`select 1`);
  await session.commit();
  await session.commit();
  await session.rollback();
  await assertRejects(() => session.query(sql`select 1`), SessionEndedError, "committed");
  await assertRejects(() => session.commit([sql`select 1`]), SessionEndedError);
  assertEquals(flightsOf(driver).length, 2);
});

Deno.test("commit() after rollback() throws", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.query(sql`select 1`);
  await session.rollback();
  await assertRejects(() => session.commit([sql`select 1`]), SessionEndedError, "rolled back");
});

Deno.test("statements of one session run in the order of the calls", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await using session = db.session();
  await Promise.all([
    session.query(sql`select 1`),
    session.query(sql`select 2`),
    session.commit(),
  ]);
  assertEquals(flightsOf(driver), [[BEGIN, "select 1"], ["select 2"], ["commit"]]);
});

Deno.test("after a failed statement later ones are skipped, with its error as the cause", async () => {
  const failure = serverError("23505", "duplicate key");
  const { driver, db } = scripted(({ text }) => (text.startsWith("insert") ? failure : undefined));
  await using _ = db;
  await using session = db.session();
  const error = await assertRejects(() => session.query(sql`insert into t values (1)`));
  assertStrictEquals(error, failure);
  const skipped = await assertRejects(
    () => session.query(sql`select 1`),
    StatementSkippedError,
  );
  assertStrictEquals(skipped.cause, failure);
  assertEquals(flightsOf(driver).length, 1);
});

Deno.test("commit() after a failed statement throws and rolls back", async () => {
  const failure = serverError("23505", "duplicate key");
  const { driver, pool, db } = scripted(({ text }) => (
    text.startsWith("insert") ? failure : undefined
  ));
  await using _ = db;
  await using session = db.session();
  await assertRejects(() => session.query(sql`insert into t values (1)`));
  const error = await assertRejects(() => session.commit(), CommitRolledBackError);
  assertStrictEquals(error.cause, failure);
  assertEquals(flightsOf(driver).at(-1), ["ROLLBACK"]);
  assertEquals(pool.stats().idle, 1);
});

Deno.test("commit() that is answered ROLLBACK throws", async () => {
  const { db } = scripted(({ text }) => (text === "commit" ? { command: "ROLLBACK" } : undefined));
  await using _ = db;
  await using session = db.session();
  await session.query(sql`select 1`);
  await assertRejects(() => session.commit(), CommitRolledBackError);
  assert(!session.isCommitted);
});

Deno.test("an ERROR in answer to COMMIT means that the transaction is rolled back", async () => {
  const failure = serverError("23503", "deferred constraint");
  const { pool, db } = scripted(({ text }) => (text === "commit" ? failure : undefined));
  await using _ = db;
  await using session = db.session();
  const error = await assertRejects(() => session.commit([sql`insert into t values (1)`]));
  assertStrictEquals(error, failure);
  assertEquals(pool.stats().idle, 1);
});

for (const sqlState of ["40003", "08007"]) {
  Deno.test(`${sqlState} in answer to COMMIT leaves the outcome unknown`, async () => {
    const failure = serverError(sqlState, "unknown");
    const { db } = scripted(({ text }) => (text === "commit" ? failure : undefined));
    await using _ = db;
    await using session = db.session();
    const error = await assertRejects(
      () => session.commit([sql`insert into t values (1)`]),
      CommitOutcomeUnknownError,
    );
    assertStrictEquals(error.cause, failure);
  });
}

Deno.test("a connection lost after COMMIT was sent leaves the outcome unknown", async () => {
  const { db } = scripted(({ text }, connection) => {
    if (text === "commit") connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert into t values (1)`);
  const error = await assertRejects(() => session.commit(), CommitOutcomeUnknownError);
  assertInstanceOf(error.cause, ConnectionLostError);
});

Deno.test("FATAL in answer to COMMIT leaves the outcome unknown", async () => {
  const { db } = scripted(({ text }, connection) => {
    if (text === "commit") {
      connection.cut({ fatal: serverError("57P01", "terminating", "FATAL"), begun: true });
    }
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await assertRejects(
    () => session.commit([sql`insert into t values (1)`]),
    CommitOutcomeUnknownError,
  );
});

Deno.test("a connection lost before COMMIT is a ConnectionLostError, not an unknown outcome", async () => {
  const { pool, db } = scripted(({ text }, connection) => {
    if (text === "select 2") connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert into t values (1)`);
  await assertRejects(() => session.query(sql`select 2`), ConnectionLostError);
  await assertRejects(() => session.commit(), SessionEndedError, "lost");
  assertEquals(pool.stats().leased, 0);
});

Deno.test("a connection that died while idle is replaced unnoticed by the caller", async () => {
  let isDead = false;
  const { driver, db } = scripted((_, connection) => {
    if (isDead) connection.cut({ fatal: serverError("57P01", "terminating", "FATAL") });
    isDead = false;
    return undefined;
  });
  await using _ = db;
  await using warm = db.session();
  await warm.commit([sql`select 1`]);
  for (const work of [sql`select 2`, sql`insert into t values (1)`]) {
    isDead = true;
    await using session = db.session();
    await session.commit([work]);
  }
  assertEquals(driver.connections.length, 3);
});

Deno.test("a write that may have run together with COMMIT is not sent again", async () => {
  let isDead = false;
  const { driver, db } = scripted((_, connection) => {
    if (isDead) connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  await using warm = db.session();
  await warm.commit([sql`select 1`]);
  isDead = true;
  await using session = db.session();
  await assertRejects(
    () => session.commit([sql`insert into t values (1)`]),
    CommitOutcomeUnknownError,
  );
  assertEquals(driver.connections.length, 1);
});

Deno.test("a new connection that dies during its first flight is not replaced", async () => {
  const { driver, db } = scripted((_, connection) => {
    connection.cut();
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await assertRejects(() => session.query(sql`select 1`), ConnectionLostError);
  assertEquals(driver.connections.length, 1);
});

Deno.test("a write is sent before its COMMIT on a connection that was idle for over a second", async () => {
  const { clock, driver, db } = scripted();
  await using _ = db;
  await using warm = db.session();
  await warm.commit([sql`select 1`]);
  await clock.advance(1_001);
  await using write = db.session();
  await write.commit([sql`insert into t values (1)`]);
  await clock.advance(1_001);
  await using read = db.session({ readOnly: true });
  await read.commit([sql`select 2`]);
  assertEquals(flightsOf(driver).slice(1), [
    [BEGIN, "insert into t values (1)"],
    ["commit"],
    [`${BEGIN}, read only`, "select 2", "commit"],
  ]);
});

Deno.test("an aborted signal cancels the statement on the server, and then closes the connection", async () => {
  const { clock, pool, driver, db } = scripted(({ text }) => (
    text === "select 1" ? new Promise(() => {}) : undefined
  ));
  await using _ = db;
  const gaveUp = new AbortController();
  await using session = db.session({ signal: gaveUp.signal });
  const statement = assertRejects(() => session.query(sql`select 1`), DeadlineError, "gave up");
  await flushPromises();
  gaveUp.abort();
  assertEquals(driver.connections[0]!.cancels, 1);
  await clock.advance(500);
  await statement;
  assertEquals(pool.stats().leased, 0);
});

Deno.test("a flight without an answer within the statement timeout is cancelled", async () => {
  const { clock, driver, db } = scripted(({ text }, connection) => {
    const cancelled = Promise.withResolvers<Error>();
    connection.onCancel = () => cancelled.resolve(serverError("57014", "canceling"));
    return text === "select 1" ? cancelled.promise : undefined;
  });
  await using _ = db;
  await using session = db.session({ statementTimeoutMs: 100 });
  const statement = assertRejects(() => session.query(sql`select 1`), DeadlineError);
  await flushPromises();
  // 100 ms for each of the flight's three statements, and one second of grace for the answer.
  await clock.advance(1_300);
  const error = await statement;
  assertStringIncludes(error.message, "no answer within 1300 ms");
  assertEquals(driver.connections[0]!.cancels, 1);
});

Deno.test("a closing pool cancels a statement, and its caller gets PoolClosedError", async () => {
  const cancelled = Promise.withResolvers<Error>();
  const { clock, driver, pool, db } = scripted(({ text }, connection) => {
    connection.onCancel = () => cancelled.resolve(serverError("57014", "canceling"));
    return text.startsWith("insert") ? cancelled.promise : undefined;
  });
  await using session = db.session();
  const write = assertRejects(
    () => session.commit([sql`insert into t values (1)`]),
    PoolClosedError,
    "Cannot finish the statement",
  );
  await flushPromises();
  const closed = pool.close({ timeoutMs: 0 });
  await flushPromises();
  await clock.advance(0);
  await write;
  await closed;
  assertEquals(driver.connections[0]!.cancels, 1);
});

Deno.test("an answer that arrives after the caller has aborted still counts", async () => {
  const gaveUp = new AbortController();
  const { pool, db } = scripted(({ text }) => {
    if (text === "commit") gaveUp.abort();
    return undefined;
  });
  await using _ = db;
  await using session = db.session({ signal: gaveUp.signal });
  await session.commit([sql`insert into t values (1)`]);
  assert(session.isCommitted);
  // The cancel request may still arrive, and must not hit another lease's statement.
  assertEquals(pool.stats().idle, 0);
});

Deno.test("a commit that gets no connection ends its session", async () => {
  const driver = new ScriptedDriver({
    onConnect() {
      throw new Error("refused");
    },
  });
  await using db = databaseOf(poolOf(driver));
  await using session = db.session();
  await assertRejects(() => session.commit([sql`insert into t values (1)`]), ConnectError);
  await assertRejects(() => session.commit([sql`select 1`]), SessionEndedError, "lost");
  assert(!session.isCommitted);
});

Deno.test("a value that cannot be sent leaves the session usable", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.query(sql`select 1`);
  await assertRejects(() => session.query(sql`select ${"a\0b"}`), TypeError, "NUL");
  await session.query(sql`select 2`);
  await session.commit();
  assert(session.isCommitted);
});

Deno.test("calls queued after a failed statement are skipped, with its error as the cause", async () => {
  const failure = serverError("23505", "duplicate key");
  const { driver, db } = scripted(({ text }) => (text === "insert 2" ? failure : undefined));
  await using _ = db;
  await using session = db.session();
  const [batch, query, commit] = await Promise.allSettled([
    session.batch([sql`insert 1`, sql`insert 2`, sql`insert 3`]),
    session.query(sql`insert 4`),
    session.commit(),
  ]) as PromiseRejectedResult[];
  assertStrictEquals(batch!.reason, failure);
  assertInstanceOf(query!.reason, StatementSkippedError);
  assertStrictEquals(query!.reason.cause, failure);
  assertInstanceOf(commit!.reason, CommitRolledBackError);
  assertStrictEquals(commit!.reason.cause, failure);
  assertEquals(flightsOf(driver), [[BEGIN, "insert 1", "insert 2", "insert 3"], ["ROLLBACK"]]);
});

Deno.test("a failed BEGIN ends the session, so that no statement runs without a transaction", async () => {
  const failure = serverError("57014", "canceling statement due to user request");
  const { pool, driver, db } = scripted(({ text }) => (text === BEGIN ? failure : undefined));
  await using _ = db;
  await using session = db.session();
  assertStrictEquals(await assertRejects(() => session.query(sql`insert 1`)), failure);
  const ended = await assertRejects(() => session.query(sql`insert 2`), SessionEndedError);
  assertStrictEquals(ended.cause, failure);
  await assertRejects(() => session.commit([sql`insert 3`]), SessionEndedError);
  assertEquals(flightsOf(driver), [[BEGIN, "insert 1"]]);
  assertEquals(pool.stats().idle, 1);
});

Deno.test("a statement that ended the transaction ends the session, also if a later one failed", async () => {
  const failure = serverError("22012", "division by zero");
  const { db } = scripted(({ text }) => (text === "select 1/0" ? failure : undefined));
  await using _ = db;
  await using session = db.session();
  const both = session.batch([sql`rollback`, sql`select 1/0`]);
  assertStrictEquals(await assertRejects(() => both), failure);
  await assertRejects(() => session.query(sql`insert 1`), SessionEndedError);
});

Deno.test("after its signal has aborted, a session sends no statement and no COMMIT", async () => {
  const { pool, driver, db } = scripted();
  await using _ = db;
  const gaveUp = new AbortController();
  await using session = db.session({ signal: gaveUp.signal });
  await session.query(sql`insert 1`);
  gaveUp.abort(new Error("the client has left"));
  const error = await assertRejects(() => session.commit(), DeadlineError, "gave up");
  assertStrictEquals(error.cause, gaveUp.signal.reason);
  assertEquals(flightsOf(driver), [[BEGIN, "insert 1"], ["ROLLBACK"]]);
  assertEquals([pool.stats().idle, driver.connections[0]!.cancels], [1, 0]);
});

Deno.test("the disposal of a read-only session does not wait for its rollback", async () => {
  const rolledBack = Promise.withResolvers<undefined>();
  const { pool, db } = scripted(({ text }) => (
    text === "ROLLBACK" ? rolledBack.promise : undefined
  ));
  await using _ = db;
  {
    await using session = db.session({ readOnly: true });
    await session.query(sql`select 1`);
    await session.query(sql`select 2`);
  }
  assertEquals(pool.stats().leased, 1);
  rolledBack.resolve(undefined);
});

Deno.test("the disposal of a session, twice and while a statement runs, returns its lease once", async () => {
  const answered = Promise.withResolvers<undefined>();
  const { pool, driver, db } = scripted(({ text }) => (
    text === "insert 1" ? answered.promise : undefined
  ));
  await using _ = db;
  const session = db.session();
  const statement = session.query(sql`insert 1`);
  const ends = [session[Symbol.asyncDispose](), session[Symbol.asyncDispose]()];
  await flushPromises();
  assertEquals(pool.stats().leased, 1);
  answered.resolve(undefined);
  await Promise.all([statement, ...ends]);
  assertEquals(flightsOf(driver), [[BEGIN, "insert 1"], ["ROLLBACK"]]);
  assertEquals([pool.stats().leased, pool.stats().idle], [0, 1]);
});

Deno.test("the caller gets the handler's error although the connection is dead by then", async () => {
  const { pool, driver, db } = scripted();
  await using _ = db;
  const failure = new Error("from the handler");
  const error = await assertRejects(async () => {
    await using session = db.session();
    await session.query(sql`insert 1`);
    driver.connections[0]!.cut();
    throw failure;
  });
  assertStrictEquals(error, failure);
  assertEquals([pool.stats().leased, pool.stats().idle], [0, 0]);
});

Deno.test("a failed rollback does not throw, and its connection is not kept", async () => {
  const { pool, db } = scripted(({ text }) => (
    text === "ROLLBACK" ? serverError("XX000", "cannot roll back") : undefined
  ));
  await using _ = db;
  const session = db.session();
  await session.query(sql`insert 1`);
  await session.rollback();
  assertEquals([pool.stats().leased, pool.stats().idle], [0, 0]);
});

Deno.test("a value that could not be sent during the login leaves no timer", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({ pipelined: true });
  await using db = databaseOf(poolOf(driver, { clock }), { clock });
  await using session = db.session();
  await assertRejects(() => session.query(sql`select ${"\0"}`), TypeError);
  await session.query(sql`select 1`);
  await session.rollback();
  // While there is a connection, the timer of its deadlines may run on.
  await db.close({ timeoutMs: 0 });
  assertEquals(clock.pending, 0);
});

Deno.test("a timeout of 0 is no timeout, as in PostgreSQL", async () => {
  const answer = Promise.withResolvers<undefined>();
  const { clock, db } = scripted(({ text }) => text === "select 1" ? answer.promise : undefined);
  await using _ = db;
  await using session = db.session({ statementTimeoutMs: 0, transactionTimeoutMs: 0 });
  const statement = session.query(sql`select 1`);
  await flushPromises();
  await clock.advance(3_600_000);
  answer.resolve(undefined);
  assertEquals(await statement, []);
});

Deno.test("a value whose encoding throws leaves the transaction usable", async () => {
  const { db } = scripted(() => undefined);
  await using _ = db;
  await using session = db.session();
  await session.query(sql`select 1`);
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const throwing = {
    toJSON() {
      throw new Error("no");
    },
  };
  for (const value of [cyclic, throwing]) {
    await assertRejects(() => session.query(sql`select ${value}`), TypeError, "parameter $1");
  }
  await session.query(sql`select 2`);
  await session.commit();
  assert(session.isCommitted);
});
