/** Statements that have to stand outside a transaction: what a session says of them, and `db.run`. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  ConnectError,
  type Database,
  DeadlineError,
  PoolClosedError,
  ServerError,
  sql,
  type TransactionBegun,
  trustedSql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import {
  ScriptedDriver,
  type ScriptedDriverOptions,
  serverError,
} from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const database = await localDatabase();

async function connect() {
  const branch = await database.connect();
  const db = branch.open({ ...branch.envOf("postgres"), DATABASE_POOL_SIZE: "1" });
  return { branch, db, [Symbol.asyncDispose]: () => branch[Symbol.asyncDispose]() };
}

const OTHER = `alone_${crypto.randomUUID().replaceAll("-", "")}`;

/** In this order, so that each finds what it needs. */
const OUTSIDE = [
  "vacuum users",
  "vacuum (analyze, verbose) users",
  "create index concurrently alone on users (name)",
  "reindex index concurrently alone",
  "reindex table concurrently users",
  "drop index concurrently alone",
  `create database ${OTHER}`,
  `alter database ${OTHER} set tablespace pg_default`,
  `drop database ${OTHER}`,
  "alter system reset vacuum_cost_delay",
  "cluster",
  "discard all",
  "call committing()",
  "do $$ begin commit; end $$",
];

/** For which the test has no second server, directory or prepared transaction. */
const ONLY_REFUSED = [
  "create tablespace somewhere location '/nowhere'",
  "drop tablespace somewhere",
  "create subscription copies connection 'dbname=nowhere' publication everything",
  "commit prepared 'nothing'",
  "/* here */ rollback prepared 'nothing'",
  "select committing_function()",
];

const PROCEDURES = [
  "create or replace procedure committing() language plpgsql as 'begin commit; end'",
  "create or replace function committing_function() returns void language plpgsql as 'begin commit; end'",
];

Deno.test("a session names the way out for each statement that has to stand outside a transaction, and rolls back", async () => {
  await using context = await connect();
  const { db, branch } = context;
  for (const text of PROCEDURES) await branch.asAdmin(text);
  for (const text of [...OUTSIDE, ...ONLY_REFUSED]) {
    const calls: ((db: Database) => Promise<unknown>)[] = [
      (db) => db.transaction((session) => session.query(trustedSql(text))),
      (db) => db.transaction((session) => session.commit([trustedSql(text)])),
      (db) => db.transaction((session) => session.batch([sql`select 1`, trustedSql(text)])),
      (db) =>
        db.transaction((session) => session.savepoint((inner) => inner.query(trustedSql(text)))),
    ];
    for (const call of calls) {
      const error = await assertRejects(() => call(db), ServerError);
      assert(["25001", "2D000"].includes(error.sqlState), `${text}: ${error}`);
      assertStringIncludes(error.message, "outside a transaction");
      assertStringIncludes(error.message, "`db.run(statement)`");
      assert(error.stack!.startsWith(`ServerError: ${error.message}`));
      assertEquals(error.statement, text);
      assertEquals(error.attempts, undefined);
    }
  }
});

Deno.test("db.run runs each of them, and leaves no connection behind", async () => {
  await using context = await connect();
  const { db, branch } = context;
  for (const text of PROCEDURES) await branch.asAdmin(text);
  for (const text of OUTSIDE) assertEquals(await db.run(trustedSql(text)), [], text);
  const { leased, idle, committed, lost, rolledBack } = db.stats();
  assertEquals({ leased, idle, committed, lost, rolledBack }, {
    leased: 0,
    idle: 0,
    committed: OUTSIDE.length,
    lost: 0,
    rolledBack: 0,
  });
});

Deno.test("db.run returns rows, sends values apart from the text, and commits by itself", async () => {
  await using context = await connect();
  const { db, branch } = context;
  await db.run(sql`create table notes (id int, text text)`);
  const inserted = await db.run(
    sql<{ text: string }>`insert into notes values (1, ${"it's"}) returning text`,
  );
  assertEquals(inserted, [{ text: "it's" }]);
  assertEquals(await branch.asAdmin("select id from notes"), [{ id: 1 }]);
  const [row] = await db.run(sql<{ n: number }>`select 7::int8 as n`, { parsers: { 20: Number } });
  assertEquals(row, { n: 7 });
  assertEquals(await db.run(sql``), []);
});

Deno.test("db.run finds no state of a session's connection, and leaves none", async () => {
  await using context = await connect();
  const { db } = context;
  const user = sql<{ pid: number; user: string }>`
    select pg_backend_pid() as pid, current_setting('role') as user`;
  const [[before]] = await db.session().commit([user]);
  const [within] = await db.run(user);
  await db.run(sql`set role user_service`);
  await db.run(sql`listen somewhere`);
  await db.run(sql`create temporary table left_over (id int)`);
  const [[after]] = await db.session().commit([user]);
  assertEquals(new Set([before!.pid, within!.pid, after!.pid]).size, 3);
  assertEquals([within!.user, after!.user], ["none", "none"]);
});

Deno.test("db.run refuses what begins or ends a transaction, COPY with a stream, and what is no statement", async () => {
  await using context = await connect();
  const { db } = context;
  const texts = [
    "begin",
    "BEGIN isolation level serializable",
    "  -- now\n start /* a */ transaction",
    "commit",
    "commit and chain",
    "end",
    "rollback",
    "rollback to savepoint one",
    "abort",
    "savepoint one",
    "release one",
    "prepare transaction 'one'",
    "copy users to stdout",
    "copy users from stdin",
    "; begin",
    ";; /* empty */ ; prepare transaction 'one'",
    ";copy users to stdout",
  ];
  for (const text of texts) {
    const error = await assertRejects(() => db.run(trustedSql(text)), TypeError, "`db.run`", text);
    assert(/; (use|insert)/.test(error.message), error.message);
  }
  const untyped = db as unknown as { run(statement: unknown, options?: unknown): Promise<unknown> };
  for (const statement of ["vacuum", undefined, null, {}, [sql`select 1`]]) {
    await assertRejects(() => untyped.run(statement), TypeError, "not made by sql");
  }
  await assertRejects(() => untyped.run(sql`select ${undefined}`), TypeError, "parameter $1");
  for (const timeoutMs of [-1, NaN, "1s"]) {
    await assertRejects(() => untyped.run(sql`select 1`, { timeoutMs }), RangeError, "timeoutMs");
  }
  assertEquals(db.stats().counters.connected, 0);
  // Neither is taken for one of them.
  await assertRejects(() => db.run(sql`commit prepared 'nothing'`), ServerError);
  await assertRejects(() => db.run(sql`rollback prepared 'nothing'`), ServerError);
  assertEquals(await db.run(sql`select 1 as "commit"`), [{ commit: 1 }]);
});

Deno.test("an ERROR in db.run is definite, shows the author's code, and is not tried again", async () => {
  await using context = await connect();
  const { db } = context;
  async function author(): Promise<void> {
    await db.run(sql`do $$ begin raise serialization_failure; end $$`);
  }
  const error = await assertRejects(author, ServerError);
  assertEquals(error.sqlState, "40001");
  assertEquals(error.statement, "do $$ begin raise serialization_failure; end $$");
  assertStringIncludes(error.stack!, "author");
  const { rolledBack, retried, counters } = db.stats();
  assertEquals([rolledBack, retried, counters.connected], [1, {}, 1]);
});

Deno.test("a constraint that is checked at the end fails db.run, and names the statement", async () => {
  await using context = await connect();
  const { db, branch } = context;
  await db.run(sql`create table late (id int unique deferrable initially deferred)`);
  const error = await assertRejects(
    () => db.run(sql`insert into late values (1), (1) returning id`),
    ServerError,
  );
  assertEquals([error.sqlState, error.statement], [
    "23505",
    "insert into late values (1), (1) returning id",
  ]);
  assertEquals(await branch.asAdmin("select id from late"), []);
});

Deno.test("a parser that fails on the rows of db.run does not make the statement look failed", async () => {
  await using context = await connect();
  const { db } = context;
  const parsers = {
    23: () => {
      throw new Error("mine");
    },
  };
  await db.run(sql`create table kept (id int)`);
  await assertRejects(
    () => db.run(sql`insert into kept values (1) returning id`, { parsers }),
    CommitRowsLostError,
  );
  assertEquals(await db.run(sql`select id from kept`), [{ id: 1 }]);
});

Deno.test("db.run stops the statement on the server after its timeout, and on an abort", async () => {
  await using context = await connect();
  const { db, branch } = context;
  const asleep = async () =>
    (await branch.asAdmin(`select 1 from pg_stat_activity
      where query = 'select pg_sleep(56)' and datname = current_database()`)).length;
  const late = await assertRejects(
    () => db.run(sql`select pg_sleep(56)`, { timeoutMs: 200 }),
    DeadlineError,
    "200 ms",
  );
  assertInstanceOf(late.cause, ServerError);
  const gaveUp = new AbortController();
  const running = assertRejects(
    () => db.run(sql`select pg_sleep(56)`, { signal: gaveUp.signal, timeoutMs: 0 }),
    DeadlineError,
  );
  while (await asleep() === 0);
  gaveUp.abort();
  await running;
  while (await asleep() !== 0);
  await assertRejects(() => db.run(sql`select 1`, { signal: gaveUp.signal }), DeadlineError);
  assertEquals(db.stats().leased, 0);
});

Deno.test("db.run hands on notices, and its statement may outlast the statement timeout of sessions", async () => {
  await using context = await connect();
  const { branch } = context;
  const db = branch.open({ ...branch.envOf("postgres"), DATABASE_STATEMENT_TIMEOUT: "0.05" });
  const told: (string | undefined)[] = [];
  await db.run(sql`vacuum (verbose) users`, {
    timeoutMs: 10_000,
    onNotice: ({ severity }) => void told.push(severity),
  });
  assert(told.length > 0 && told.every((severity) => severity === "INFO"), String(told));
  await db.run(sql`select pg_sleep(0.2)`, { timeoutMs: 10_000 });
  await assertRejects(() => db.run(sql`select pg_sleep(56)`), DeadlineError, "50 ms");
});

/** What the layer sends in a flight of its own, ahead of the statement. */
const isOwn = (text: string) => text.includes("client_min_messages");

function scripted(
  { reply, onOwn, ...options }: ScriptedDriverOptions & { onOwn?: () => void } = {},
) {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({
    ...options,
    reply: (statement, connection) =>
      isOwn(statement.text) ? onOwn?.() as undefined : reply?.(statement, connection),
  });
  const begun: TransactionBegun[] = [];
  const ended: string[] = [];
  const observer = {
    transaction(each: TransactionBegun) {
      begun.push(each);
      return {
        flight: () => () => {},
        ended: (outcome: string, error?: Error) => void ended.push(`${outcome} ${error?.name}`),
      };
    },
  };
  const db = databaseOf(poolOf(driver, { clock, size: 1, maxOverflow: 0 }), { clock, observer });
  const sent = () =>
    driver.connections.flatMap(({ flights }) => flights.flat()).filter((text) => !isOwn(text));
  /** Resolves when so many statements have been sent. */
  async function untilSent(count: number): Promise<void> {
    while (sent().length < count) await flushPromises();
  }
  return { clock, driver, db, sent, untilSent, begun, ended };
}

const VACUUM = "vacuum users";
const vacuum = trustedSql(VACUUM);

Deno.test("db.run sends no statement after an abort, also one during the settings in front of it", async () => {
  const caller = new AbortController();
  const { db, sent, ended } = scripted({ onOwn: () => caller.abort() });
  await using _ = db;
  await assertRejects(() => db.run(vacuum, { signal: caller.signal }), DeadlineError, "gave up");
  assertEquals([sent(), ended], [[], ["lost DeadlineError"]]);
});

Deno.test("db.run sends its statement alone, on a connection that nothing has used", async () => {
  const { db, driver, begun, ended } = scripted();
  await using _ = db;
  await db.session({ label: "before" }).commit([sql`select 1`]);
  await db.run(vacuum, { label: "nightly" });
  assertEquals(driver.connections.map(({ state }) => state), ["closed", "closed"]);
  assertEquals(driver.connections[1]!.flights.slice(1), [[VACUUM]]);
  assertEquals(begun[1], { label: "nightly", attempt: 1, settings: undefined, isRemote: false });
  assertEquals(ended, ["committed undefined", "committed undefined"]);
});

Deno.test("an answer to db.run that is lost leaves its outcome unknown, and nothing is sent again", async () => {
  const { db, sent, ended } = scripted({
    reply: (_, connection) => void connection.cut({ begun: true }),
  });
  await using _ = db;
  async function author(): Promise<void> {
    await db.run(vacuum);
  }
  const error = await assertRejects(author, CommitOutcomeUnknownError);
  assertEquals([error.reason, error.xid], ["no transaction", undefined]);
  assert(/^Cannot tell whether the statement took effect.*; look for/.test(error.message));
  assert(!error.message.includes("COMMIT"), error.message);
  assertStringIncludes(error.stack!, "author");
  assertEquals(sent(), [VACUUM]);
  assertEquals(ended, ["lost CommitOutcomeUnknownError"]);
  const { unknown, lost, leased, retried } = db.stats();
  assertEquals({ unknown, lost, leased, retried }, { unknown: 1, lost: 1, leased: 0, retried: {} });
});

Deno.test("db.run in a unit of work is not repeated with it after an unknown outcome", async () => {
  const { db, sent } = scripted({
    reply: ({ text }, connection) =>
      text === VACUUM ? void connection.cut({ begun: true }) : undefined,
  });
  await using _ = db;
  await assertRejects(() => db.transaction(() => db.run(vacuum)), CommitOutcomeUnknownError);
  assertEquals(sent(), [VACUUM]);
});

Deno.test("a deadline without an answer leaves the outcome of db.run unknown", async () => {
  const { db, clock, untilSent } = scripted({ reply: () => new Promise(() => {}) });
  await using _ = db;
  const running = assertRejects(
    () => db.run(vacuum, { timeoutMs: 1_000 }),
    CommitOutcomeUnknownError,
  );
  await untilSent(1);
  await clock.advance(1_000);
  await clock.advance(500);
  assertInstanceOf((await running).cause, DeadlineError);
});

Deno.test("the default of db.run's timeout is the statement timeout of sessions; 0 is no limit", async () => {
  const { db, clock, untilSent } = scripted({ reply: () => new Promise(() => {}) });
  await using _ = db;
  let ended = 0;
  const gaveUp = new AbortController();
  const bounded = assertRejects(() => db.run(vacuum).finally(() => ended++));
  await untilSent(1);
  await clock.advance(14_999);
  assertEquals(ended, 0);
  await clock.advance(600);
  await bounded;
  const unbounded = assertRejects(() =>
    db.run(vacuum, { timeoutMs: 0, signal: gaveUp.signal }).finally(() => ended++)
  );
  await untilSent(2);
  await clock.advance(86_400_000);
  assertEquals(ended, 1);
  gaveUp.abort();
  await clock.advance(500);
  await unbounded;
});

Deno.test("what never ran in db.run is a known failure", async () => {
  const refused = scripted({ onConnect: () => Promise.reject(new Error("refused")) });
  await assertRejects(() => refused.db.run(vacuum), ConnectError);
  const ended = scripted({
    reply: (_, connection) =>
      void connection.cut({ fatal: serverError("57P01", "terminating", "FATAL") }),
  });
  await assertRejects(() => ended.db.run(vacuum), Error, "Lost the connection");
  const aborted = new AbortController();
  aborted.abort(new Error("left"));
  const gone = scripted();
  await assertRejects(() => gone.db.run(vacuum, { signal: aborted.signal }), DeadlineError);
  assertEquals(gone.sent(), []);
  await gone.db.close({ timeoutMs: 0 });
  await assertRejects(() => gone.db.run(vacuum), PoolClosedError);
  for (const { db } of [refused, ended]) {
    assertEquals([db.stats().unknown, db.stats().leased], [0, 0]);
    await db.close({ timeoutMs: 0 });
  }
});

Deno.test("a pool that closes during db.run leaves its outcome unknown, and no connection", async () => {
  const { db, clock, driver, untilSent } = scripted({ reply: () => new Promise(() => {}) });
  const running = assertRejects(() => db.run(vacuum), CommitOutcomeUnknownError);
  await untilSent(1);
  const closing = db.close({ timeoutMs: 0 });
  for (let turn = 0; turn < 10; turn++) await clock.advance(500);
  await closing;
  assertInstanceOf((await running).cause, PoolClosedError);
  assertEquals(driver.open, []);
});
