/** Reads of many callers over two connections: they share them on a real server, and do not through PgBouncer. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  ConnectionLostError,
  type Database,
  DeadlineError,
  ServerError,
  sql,
} from "../../../src/db/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { localDatabase } from "../../support/local_database.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";

const SETTINGS = { DATABASE_POOL_SIZE: "2", DATABASE_MAX_OVERFLOW: "0" };

type Case = (branch: Branch, db: Database) => Promise<void>;

const CASES: Readonly<Record<string, Case>> = {
  async "each of 400 reads gets its own rows or its own error"(_, db) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 400 }, (_, n) =>
        db.session({ readOnly: true }).commit([
          sql<{ n: number; x: number }>`select ${n}::int as n, 1 / (${n}::int % 7) as x`,
        ])),
    );
    for (const [n, outcome] of outcomes.entries()) {
      if (n % 7 === 0) {
        assert(outcome.status === "rejected");
        assertInstanceOf(outcome.reason, ServerError);
        assertEquals(outcome.reason.sqlState, "22012");
      } else {
        assert(outcome.status === "fulfilled");
        assertEquals(outcome.value, [[{ n, x: n % 7 === 1 ? 1 : 0 }]]);
      }
    }
    assertEquals(db.stats().counters.connected, 2);
  },
  async "each has the locals and timeouts of its own session"(_, db) {
    const rows = await Promise.all(Array.from({ length: 60 }, async (_, n) => {
      const statementTimeoutMs = n % 3 === 0 ? 7_000 : 15_000;
      const session = db.session({
        readOnly: true,
        locals: { "app.user": `${n}` },
        statementTimeoutMs,
      });
      const [[row]] = await session.commit([sql`
        select current_setting('app.user') as "user", current_setting('statement_timeout') as timeout,
          current_setting('transaction_read_only') as "readOnly"`]);
      return row;
    }));
    for (const [n, row] of rows.entries()) {
      assertEquals(row, { user: `${n}`, timeout: n % 3 === 0 ? "7s" : "15s", readOnly: "on" });
    }
    const [[after]] = await db.session({ readOnly: true }).commit([
      sql<{ user: string }>`select current_setting('app.user', true) as "user"`,
    ]);
    assert(!after!.user);
  },
  async "each runs at its own isolation level and cannot write, whatever the database's defaults are"(
    branch,
    db,
  ) {
    const name = new URL(branch.env["DATABASE_URL"]!).pathname.slice(1);
    await branch.asAdmin(
      `alter database "${name}" set default_transaction_isolation = 'serializable'`,
    );
    await branch.asAdmin("create sequence numbers");
    await branch.asAdmin("grant all on sequence numbers to public");
    for (let turn = 0; turn < 4; turn++) {
      const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => {
        const isolation = n % 5 === 0 ? "repeatable read" : "read committed";
        const session = db.session({ readOnly: true, isolation });
        return n % 7 === 3 ? session.commit([sql`select nextval('numbers')`]) : session.commit([sql`
          select ${isolation} as wanted, current_setting('transaction_isolation') as isolation,
            current_setting('transaction_read_only') as "readOnly"`]);
      }));
      for (const [n, outcome] of outcomes.entries()) {
        if (n % 7 === 3) {
          assert(outcome.status === "rejected" && outcome.reason instanceof ServerError);
          assertEquals(outcome.reason.sqlState, "25006");
        } else {
          assert(outcome.status === "fulfilled");
          const { wanted } = outcome.value[0]![0] as { wanted: string };
          assertEquals(outcome.value, [[{ wanted, isolation: wanted, readOnly: "on" }]]);
        }
      }
      // What follows on the connection may write.
      await db.session().commit([sql`select nextval('numbers')`]);
    }
  },
  async "a table that changes is read as it is"(branch, db) {
    await branch.asAdmin("create table items (n int)");
    await branch.asAdmin("insert into items values (1)");
    await branch.asAdmin("grant select on items to public");
    const readAll = () =>
      Promise.all(Array.from(
        { length: 20 },
        () => db.session({ readOnly: true }).commit([sql`select * from items`]),
      ));
    for (const columns of [["a"], ["a", "b"], ["a", "b", "c"]]) {
      await readAll();
      await branch.asAdmin(`alter table items add column ${columns.at(-1)} int`);
      const row = { n: 1, ...Object.fromEntries(columns.map((name) => [name, null])) };
      for (const rows of await readAll()) assertEquals(rows, [[row]]);
    }
  },
  async "a slow read, and one that is given up, delay no other"(_, db) {
    const read = (n: number) =>
      db.session({ readOnly: true }).commit([sql<{ n: number }>`select ${n}::int as n`]);
    await Promise.all([read(0), read(0)]);
    const controller = new AbortController();
    const slow = db.session({ readOnly: true }).commit([sql`select pg_sleep(2)`]);
    const left = db.session({ readOnly: true, signal: controller.signal })
      .commit([sql`select pg_sleep(30)`]).catch((error: unknown) => error);
    const others = Array.from({ length: 20 }, (_, n) => read(n));
    await new Promise((resolve) => setTimeout(resolve, 300));
    controller.abort();
    assertInstanceOf(await left, DeadlineError);
    const isSlowDone = slow.then(() => true);
    assertEquals((await Promise.all(others)).map(([[row]]) => row!.n), others.map((_, n) => n));
    assertEquals(await Promise.race([isSlowDone, Promise.resolve(false)]), false);
    await slow;
  },
  async "backends that are killed cost no caller anything"(branch, db) {
    let isOver = false;
    const killing = (async () => {
      while (!isOver) {
        await new Promise((resolve) => setTimeout(resolve, 60));
        await branch.asAdmin(
          "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'user_service' " +
            "and datname = current_database() order by random() limit 1",
        );
      }
    })();
    let served = 0;
    await Promise.all(Array.from({ length: 24 }, async (_, caller) => {
      for (let turn = 0; turn < 40; turn++) {
        const n = caller * 1_000 + turn;
        // A second death, of the connection of the replay, is for the unit to retry.
        const [[row]] = await db.transaction(
          (session) => session.commit([sql<{ n: number }>`select ${n}::int as n`]),
          { readOnly: true, attempts: 10 },
        );
        assertEquals(row!.n, n);
        served++;
      }
    }));
    isOver = true;
    await killing;
    assertEquals(served, 24 * 40);
  },
};

const database = await localDatabase();

Deno.test("shared reads: one that the server ends the connection for takes no other with it", async () => {
  await using branch = await database.connect();
  // There is no other connection to which those behind it could go.
  const db = branch.open({
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_STATEMENT_TIMEOUT: "0.5",
    DATABASE_TRANSACTION_TIMEOUT: "0.5",
  });
  const read = (n: number) =>
    db.session({ readOnly: true }).commit([sql<{ n: number }>`select ${n}::int as n`]);
  for (let turn = 0; turn < 4; turn++) await Promise.all([read(0), read(0)]);
  const slow = assertRejects(
    () =>
      db.session({ readOnly: true, statementTimeoutMs: 5_000 }).commit([sql`select pg_sleep(5)`]),
    ConnectionLostError,
    "transaction timeout",
  );
  const rows = await Promise.all([1, 2, 3].map(read));
  assertEquals(rows.map(([[row]]) => row!.n), [1, 2, 3]);
  await slow;
});

Deno.test("shared reads: the first one of a new connection is sent again too when it ends", async () => {
  await using branch = await database.connect();
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  const reading = db.session({ readOnly: true, label: "first" })
    .commit([sql<{ n: number }>`select 1 as n, pg_sleep(0.3)`]);
  const isKilled = () =>
    branch.asAdmin(
      "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'user_service' " +
        "and datname = current_database() and wait_event = 'PgSleep'",
    ).then((rows) => rows.length > 0);
  assert(await pollUntil(isKilled, { deadlineMs: 10_000, intervalMs: 5 }));
  assertEquals((await reading)[0]![0]!.n, 1);
  assertEquals(db.stats().counters.connected, 2);
});

for (const [name, run] of Object.entries(CASES)) {
  Deno.test({
    name: `shared reads: ${name}`,
    timeout: 60_000,
    async fn() {
      await using branch = await database.connect();
      const db = branch.open(SETTINGS);
      await run(branch, db);
      assert(db.stats().counters.shared > 10);
    },
  });
  pgBouncerTest(`shared reads: ${name}`, async (branch) => {
    const db = branch.open(SETTINGS);
    await run(branch, db);
    // Answers that are still to come at a connection's end would go to the pooler's next client.
    assertEquals(db.stats().counters.shared, 0);
    if (!name.includes("killed")) assertEquals(await branch.leftovers(), []);
  });
}
