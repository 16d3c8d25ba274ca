/** What only a real server can show of sessions. */
import { assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "@std/assert";
import {
  CommitRolledBackError,
  type Database,
  DeadlineError,
  PoolClosedError,
  ServerError,
  SessionEndedError,
  sql,
  trustedSql,
} from "../../src/db/mod.ts";
import type { Branch } from "../support/branch.ts";
import { branchDatabase } from "../support/branch_database.ts";

const database = await branchDatabase();

function insertUser(email: string) {
  return sql`insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Ann')`;
}

async function assertUserCount(db: Database, email: string, count: bigint): Promise<void> {
  await using session = db.session({ readOnly: true });
  const [rows] = await session.commit([sql`select count(*) from users where email = ${email}`]);
  assertEquals(rows, [{ count }], email);
}

Deno.test("the transaction begins as the session says, and nothing of it stays on the connection", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const settings = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "app.user",
  ];
  const shown = settings.map((name) =>
    `coalesce(current_setting('${name}', true), '') as "${name}"`
  );
  const show = trustedSql<Record<string, string>>(`select ${shown.join(", ")}`);
  const [[inside]] = await db.transaction((session) => session.commit([show]), {
    isolation: "serializable",
    readOnly: true,
    deferrable: true,
    statementTimeoutMs: 1_000,
    lockTimeoutMs: 2_000,
    idleTransactionTimeoutMs: 3_000,
    transactionTimeoutMs: 4_000,
    locals: { "app.user": "it's Ann" },
  });
  assertEquals(inside, {
    transaction_isolation: "serializable",
    transaction_read_only: "on",
    transaction_deferrable: "on",
    statement_timeout: "1s",
    lock_timeout: "2s",
    idle_in_transaction_session_timeout: "3s",
    transaction_timeout: "4s",
    "app.user": "it's Ann",
  });
  const [[after]] = await db.transaction((session) => session.commit([show]));
  assertEquals(after?.["statement_timeout"], "15s");
  assertEquals(after?.["app.user"], "");
});

Deno.test("a committed write stays, and one that is rolled back does not", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  {
    await using session = db.session();
    await session.query(insertUser("kept@example.org"));
    await session.commit();
  }
  {
    await using session = db.session();
    await session.query(insertUser("dropped@example.org"));
  }
  await assertUserCount(db, "kept@example.org", 1n);
  await assertUserCount(db, "dropped@example.org", 0n);
});

Deno.test("the statement timeout holds for the first statement already", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ statementTimeoutMs: 50 });
  const error = await assertRejects(() => session.query(sql`select pg_sleep(60)`), ServerError);
  assertEquals(error.sqlState, "57014");
});

Deno.test("what an aborted session runs on the server stops there", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const gaveUp = new AbortController();
  const running = assertRejects(
    () =>
      db.transaction((session) => session.query(sql`select pg_sleep(60)`), {
        signal: gaveUp.signal,
      }),
    DeadlineError,
  );
  await untilActivity(branch, "select pg_sleep(60)", 1n);
  gaveUp.abort();
  await running;
  await untilActivity(branch, "select pg_sleep(60)", 0n);
});

Deno.test("a cancel request needs no permit, and its connection is nobody's next", async () => {
  await using branch = await database.connect();
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  const gaveUp = new AbortController();
  const session = db.session({ signal: gaveUp.signal });
  const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
  const waiting = db.session().commit([sql<{ pid: number }>`select pg_backend_pid() as pid`]);
  const running = assertRejects(() => session.query(sql`select pg_sleep(58)`), DeadlineError);
  await untilActivity(branch, "select pg_sleep(58)", 1n);
  gaveUp.abort();
  const error = await running;
  await untilActivity(branch, "select pg_sleep(58)", 0n);
  assertInstanceOf(error.cause, ServerError);
  assertEquals(error.cause.sqlState, "57014");
  await assertRejects(() => session.commit(), CommitRolledBackError);
  const [[next]] = await waiting;
  assertNotEquals(next?.pid, row?.pid);
});

Deno.test("a statement that has rid itself of the server's timeout is cancelled by this side's", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await using session = db.session({ statementTimeoutMs: 100 });
  await session.query(sql`set local statement_timeout = 0`);
  // 100 ms, and a second of grace for the answer.
  await assertRejects(
    () => session.query(sql`select pg_sleep(57)`),
    DeadlineError,
    "no answer within 1100 ms",
  );
  await untilActivity(branch, "select pg_sleep(57)", 0n);
});

Deno.test("closing the database stops what still runs, and says so to whoever waits for it", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const running = assertRejects(
    () => db.transaction((session) => session.query(sql`select pg_sleep(59)`)),
    PoolClosedError,
  );
  await untilActivity(branch, "select pg_sleep(59)", 1n);
  await db.close({ timeoutMs: 0 });
  await running;
  await untilActivity(branch, "select pg_sleep(59)", 0n);
});

async function untilActivity(branch: Branch, query: string, count: bigint): Promise<void> {
  for (let look = 0; look < 500; look++) {
    const [row] = await branch.asAdmin<{ count: bigint }>(
      `select count(*) from pg_stat_activity
       where state = 'active' and query = '${query}' and datname = current_database()`,
    );
    if (row?.count === count) return;
  }
  throw new Error(`Cannot go on as the server still does not run "${query}" ${count} times`);
}

Deno.test("serializable units that collide are run again until each has its turn", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await db.transaction((session) => session.commit([insertUser("counter@example.org")]));
  const increment = () =>
    db.transaction(async (session) => {
      const [row] = await session.query(
        sql<{ version: number }>`select version from users where email = 'counter@example.org'`,
      );
      await session.commit([sql`
        update users set version = ${row!.version + 1} where email = 'counter@example.org'`]);
    }, { isolation: "serializable", attempts: 50 });
  await Promise.all(Array.from({ length: 8 }, increment));
  const [row] = await db.transaction((session) =>
    session.query(
      sql<{ version: number }>`select version from users where email = 'counter@example.org'`,
    )
  );
  assertEquals(row?.version, 9);
});

Deno.test("a deadlock is resolved by running its victim again", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await db.transaction((session) =>
    session.commit([insertUser("one@example.org"), insertUser("two@example.org")])
  );
  const bothHold = Promise.withResolvers<void>();
  let holding = 0;
  let runs = 0;
  const touch = (emails: [string, string]) =>
    db.transaction(async (session) => {
      runs++;
      await session.query(sql`update users set version = version + 1 where email = ${emails[0]}`);
      if (++holding === 2) bothHold.resolve();
      await bothHold.promise;
      await session.commit([
        sql`update users set version = version + 1 where email = ${emails[1]}`,
      ]);
    });
  await Promise.all([
    touch(["one@example.org", "two@example.org"]),
    touch(["two@example.org", "one@example.org"]),
  ]);
  assertEquals(runs, 3);
});

Deno.test("a statement that ends the transaction itself is noticed", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  await assertRejects(
    () => session.query(trustedSql("commit")),
    SessionEndedError,
    "a statement has ended the transaction",
  );
  await assertRejects(() => session.query(insertUser("outside@example.org")), SessionEndedError);
});

Deno.test("a refused answer beside a COMMIT that was done leaves it done", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await using session = db.session();
  await assertRejects(
    () =>
      session.commit([insertUser("copied@example.org"), trustedSql("copy (select 1) to stdout")]),
    TypeError,
    "COPY TO STDOUT",
  );
  assertEquals(session.isCommitted, true);
  await assertUserCount(db, "copied@example.org", 1n);
});

Deno.test("a constraint that fails at COMMIT is a definite rollback", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await branch.asAdmin(`
    create table deferred (id int primary key deferrable initially deferred)`);
  await branch.asAdmin("grant all on deferred to public");
  const twice = sql`insert into deferred values (1)`;
  const error = await assertRejects(
    () => db.transaction((session) => session.commit([twice, twice])),
    ServerError,
  );
  assertEquals(error.sqlState, "23505");
  assertEquals(db.stats().idle, 1);
});

Deno.test("backends that are killed while idle cost no caller anything", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const reads = () =>
    Promise.all(
      Array.from({ length: 10 }, () =>
        db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true })),
    );
  await reads();
  await branch.asAdmin(`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'user-service' and datname = current_database()`);
  await reads();
  await Promise.all(
    Array.from(
      { length: 10 },
      (_, index) =>
        db.transaction((session) =>
          session.commit([insertUser(`after-kill-${index}@example.org`)])
        ),
    ),
  );
});

Deno.test("a backend that is killed in mid-transaction has its unit run again", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
    await session.query(insertUser("survivor@example.org"));
    if (runs === 1) await branch.asAdmin(`select pg_terminate_backend(${row!.pid})`);
    await session.query(sql`select 1`);
    await session.commit();
  });
  assertEquals(runs, 2);
  await assertUserCount(db, "survivor@example.org", 1n);
});
