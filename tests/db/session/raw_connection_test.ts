/** `db.connect`: a leased connection on which statements run as they are said. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  Database,
  DeadlineError,
  type RawConnection,
  ScopeError,
  ServerError,
  SessionEndedError,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";
import { ScriptedDriver, type ScriptedDriverOptions } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf, SESSION_DEFAULTS } from "../../support/test_pool.ts";

const database = await localDatabase();

async function withDatabase(
  test: (db: Database, asAdmin: (text: string) => Promise<unknown[]>) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const db = branch.open({ ...branch.envOf("postgres"), DATABASE_POOL_SIZE: "1" });
  await test(db, branch.asAdmin);
}

async function rowsOf(connection: RawConnection, text: string): Promise<unknown[]> {
  return (await connection.run([trustedSql(text)])).at(-1)!.rows;
}

Deno.test("BEGIN and COMMIT by text are one transaction on one connection, with the database's timeouts", async () => {
  await withDatabase(async (db, asAdmin) => {
    await asAdmin("create table said (id int)");
    await using connection = await db.connect();
    await connection.run([sql`begin`]);
    await connection.run([sql`set transaction isolation level serializable`]);
    const [settings] = await rowsOf(
      connection,
      `select current_setting('transaction_isolation') as isolation,
        current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
        current_setting('idle_in_transaction_session_timeout') as idle`,
    );
    assertEquals(settings, {
      isolation: "serializable",
      statement: "15s",
      lock: "5s",
      idle: "4s",
    });
    await connection.run([sql`insert into said values (${1})`]);
    assertEquals(await asAdmin("select id from said"), []);
    await connection.run([sql`commit`]);
    assertEquals(await asAdmin("select id from said"), [{ id: 1 }]);
    assertEquals(await rowsOf(connection, "show statement_timeout"), [{ statement_timeout: "0" }]);
  });
});

Deno.test("statements of one run are one round trip, give a result each, and are committed together", async () => {
  await withDatabase(async (db, asAdmin) => {
    await using connection = await db.connect();
    const results = await connection.run([
      sql`create table together (id int primary key)`,
      sql`insert into together values (1), (2)`,
      sql`select id from together`,
    ]);
    assertEquals(results.map(({ command, rowCount }) => [command, rowCount]), [
      ["CREATE", 0],
      ["INSERT", 2],
      ["SELECT", 2],
    ]);
    const error = await assertRejects(
      () => connection.run([sql`insert into together values (3)`, sql`select 1 / 0`]),
      ServerError,
    );
    assertEquals([error.code, error.statement], ["22012", "select 1 / 0"]);
    assertEquals(await asAdmin("select count(*) from together"), [{ count: 2n }]);
    const begun = await connection.run([
      sql`begin`,
      sql`insert into together values (3)`,
      sql`commit`,
    ]);
    assertEquals(begun.map(({ command }) => command), ["BEGIN", "INSERT", "COMMIT"]);
    await connection.run([sql`vacuum together`]);
  });
});

Deno.test("an open transaction is rolled back on release, and its connection is used again", async () => {
  await withDatabase(async (db, asAdmin) => {
    await asAdmin("create table undone (id int)");
    let first: number | undefined;
    {
      await using connection = await db.connect();
      await connection.run([sql`begin`, sql`insert into undone values (1)`]);
      first = connection.processId;
    }
    await using connection = await db.connect();
    assertEquals([connection.isNew, connection.processId], [false, first]);
    await assertRejects(() => connection.run([sql`begin`, sql`select 1 / 0`]), ServerError);
    await connection.release();
    assertEquals(await asAdmin("select id from undone"), []);
    assertEquals(db.stats().idle, 1);
    assertEquals([db.stats().committed, db.stats().rolledBack], [0, 2]);
  });
});

const LEAVES = [
  "set search_path = pg_catalog",
  "begin; set statement_timeout = 1; commit",
  "begin; set statement_timeout = 1; rollback",
  "listen news",
  "prepare one as select 1",
  "create temporary table short (id int)",
  "select 1 as id into temp short",
  "declare held cursor with hold for select 1",
  "select pg_advisory_lock(1)",
  "select pg_try_advisory_lock_shared(1)",
  "select set_config('lock_timeout', '1s', false)",
  "discard all",
  "/* all */ deallocate all",
];

const LEAVES_NOTHING = [
  "select 1",
  "set local statement_timeout = 1",
  "begin; set local statement_timeout = '1s'; commit",
  "begin; select pg_advisory_xact_lock(1), set_config('lock_timeout', '1s', true); commit",
  "begin",
];

Deno.test("a connection is closed if state is left on it, and kept otherwise", async () => {
  await withDatabase(async (db) => {
    for (const text of [...LEAVES, ...LEAVES_NOTHING]) {
      const before = db.stats().counters.leftState;
      const connection = await db.connect();
      for (const each of text.split("; ")) await connection.run([trustedSql(each)]);
      await connection.release();
      const closed = db.stats().counters.leftState - before;
      assertEquals([text, closed, db.stats().idle], [
        text,
        LEAVES.includes(text) ? 1 : 0,
        1 - closed,
      ]);
    }
    const connection = await db.connect();
    await connection.release({ close: true });
    assertEquals([db.stats().idle, db.stats().counters.destroyed], [0, 1]);
  });
});

Deno.test("a statement is stopped on the server at its timeout, and its connection is closed", async () => {
  await withDatabase(async (db, asAdmin) => {
    const connection = await db.connect();
    const late = await assertRejects(
      () => connection.run([sql`select pg_sleep(57)`], { timeoutMs: 100 }),
      DeadlineError,
      "100 ms",
    );
    assertInstanceOf(late.cause, ServerError);
    const running =
      `select 1 from pg_stat_activity where state = 'active' and query like '%pg_sleep(57)'
      and pid <> pg_backend_pid()`;
    assertEquals(await asAdmin(running), []);
    await connection.release();
    assertEquals(db.stats().idle, 0);
    const aborted = await db.connect({ signal: AbortSignal.abort() }).catch((error) => error);
    assertInstanceOf(aborted, DeadlineError);
  });
});

Deno.test("calls run in order, also those before release(); later ones are refused", async () => {
  await withDatabase(async (db, asAdmin) => {
    const connection = await db.connect();
    await connection.run([sql`create table ordered (id int)`]);
    const done = [
      connection.run([sql`begin`]),
      connection.run([sql`insert into ordered values (1)`]),
      connection.run([sql`commit`]),
    ];
    const released = connection.release();
    await assertRejects(() => connection.run([sql`select 1`]), SessionEndedError, "given back");
    await Promise.all([...done, released, connection.release()]);
    assertEquals(await asAdmin("select id from ordered"), [{ id: 1 }]);
    assertEquals(db.stats().idle, 1);
  });
});

/** A database whose connections end when a statement with this text is sent. */
function losing(text: string, options: ScriptedDriverOptions = {}) {
  const driver = new ScriptedDriver({
    ...options,
    reply: (statement, connection) => {
      if (statement.text === text) connection.cut();
      return {};
    },
  });
  return { driver, db: databaseOf(poolOf(driver)) };
}

Deno.test("a lost answer is an unknown outcome where it could have told of a commit, and nothing is sent twice", async () => {
  const cases: [before: string[], lost: string, unknown: string | undefined][] = [
    [[], "insert", "no transaction"],
    [["begin"], "insert", undefined],
    [["begin"], "commit", "no xid"],
    [["begin"], "end", "no xid"],
    [[], "begin", undefined],
    [[], "start transaction", undefined],
    [["begin", "commit"], "insert", "no transaction"],
    [["begin"], "rollback to savepoint one", undefined],
  ];
  for (const [before, lost, unknown] of cases) {
    const { db, driver } = losing(lost);
    await using _db = db;
    // The connection has been idle.
    await (await db.connect()).release();
    const connection = await db.connect();
    for (const text of before) await connection.run([trustedSql(text)]);
    const error = await connection.run([trustedSql(lost)]).catch((error) => error);
    if (unknown === undefined) assertInstanceOf(error, ConnectionLostError, lost);
    else {
      assertInstanceOf(error, CommitOutcomeUnknownError, lost);
      assertEquals([lost, error.reason], [lost, unknown]);
    }
    await connection.release();
    const sent = driver.connections.flatMap(({ flights }) => flights).flat();
    assertEquals(sent.filter((text) => text === lost).length, 1, lost);
    assertEquals([db.stats().leased, db.stats().lost], [0, 1]);
    assertEquals(db.stats().unknown, unknown === undefined ? 0 : 1);
  }
});

Deno.test("rows that a parser cannot read do not make the statement look lost", async () => {
  await withDatabase(async (db) => {
    const parsers = {
      23: () => {
        throw new Error("mine");
      },
    };
    await using connection = await db.connect({ parsers });
    await assertRejects(() => connection.run([sql`select 1 as one`]), TypeError, '"one"');
    assertEquals((await connection.run([sql`select 'still' as it`]))[0]!.rows, [{ it: "still" }]);
  });
});

Deno.test("what is no statement is refused before anything is sent; a database without an owner leases nothing", async () => {
  const driver = new ScriptedDriver();
  const pool = poolOf(driver);
  await using db = databaseOf(pool);
  await using connection = await db.connect();
  const run = (statements: unknown) => connection.run(statements as never);
  for (const wrong of [undefined, "select 1", [null], ["select 1"]]) {
    await assertRejects(() => run(wrong), TypeError);
  }
  await assertRejects(() => run([sql`select ${Symbol("one")}`]), TypeError, "parameter $1");
  assertEquals(driver.connections[0]!.flights, []);
  const ownerless = new Database({ pool, defaults: SESSION_DEFAULTS, attempts: 1 });
  await assertRejects(() => ownerless.connect(), ScopeError);
  assert(!connection.isClosed);
});
