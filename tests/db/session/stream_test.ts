/** Streams of rows on a real server, also of results larger than memory. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Database,
  DeadlineError,
  ServerError,
  SessionEndedError,
  SessionNotCommittedError,
  sql,
} from "../../../src/db/mod.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

interface Wide {
  readonly n: number;
  readonly filling: string;
}

function rows(count: number) {
  return sql<Wide>`select n, repeat('x', 200) as filling from generate_series(1, ${count}::int) n`;
}

async function withDatabase(
  work: (
    db: Database,
    traffic: { bytes: number; messages: number },
    branch: LocalBranch,
  ) => Promise<
    void
  >,
): Promise<void> {
  const traffic = { bytes: 0, messages: 0 };
  await using branch = await database.connect({
    observe: {
      message(_, direction, bytes) {
        if (direction === "toClient") traffic.bytes += bytes.length;
        else traffic.messages++;
      },
    },
  });
  await work(branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" }), traffic, branch);
}

Deno.test("a million rows are read in a heap that can hold a third of them", () =>
  withDatabase(async (_db, _traffic, { env }) => {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        "--v8-flags=--max-old-space-size=56",
        new URL("stream_reader.ts", import.meta.url).href,
      ],
      cwd: new URL("../../..", import.meta.url),
      env: { ...env },
      stderr: "inherit",
    }).output();
    const sum = 1_000_000 * 1_000_001 / 2 + 32 * 1_000_000;
    assertEquals([code, new TextDecoder().decode(stdout)], [0, `${sum}\n`]);
  }));

Deno.test("after break one batch was read, and the connection is clean", () =>
  withDatabase(async (db, traffic, branch) => {
    const before = traffic.bytes;
    await db.transaction(async (session) => {
      for await (const { n } of session.stream(rows(1_000_000), { batchSize: 10 })) {
        if (n === 3) break;
      }
      const open = await session.query(sql`select name from pg_cursors where name <> ''`);
      assertEquals(open, []);
      await session.commit();
    });
    assert(traffic.bytes - before < 10_000, `${traffic.bytes - before} bytes`);
    assertEquals([db.stats().leased, db.stats().idle], [0, 1]);
    const busy = await branch.asAdmin(`select query from pg_stat_activity
      where application_name = 'user-service' and datname = current_database() and state <> 'idle'`);
    assertEquals(busy, []);
  }));

Deno.test("a unit of work that returns from within a stream returns its lease", () =>
  withDatabase(async (db) => {
    const first = await db.transaction(async (session) => {
      for await (const { n } of session.stream(rows(1_000_000))) return n;
      return 0;
    }, { readOnly: true });
    assertEquals(first, 1);
    // The pool allows one connection, so its lease must have been returned.
    const [[row]] = await db.transaction((session) =>
      session.commit([sql<{ one: number }>`select 1 as one`])
    );
    assertEquals(row, { one: 1 });
  }));

for (const [count, batchSize] of [[0, 3], [1, 3], [3, 3], [4, 3], [6, 3], [1, 1]] as const) {
  Deno.test(`${count} rows come in portions of ${batchSize}, each once and in order`, () =>
    withDatabase(async (db) => {
      await using session = db.session({ readOnly: true });
      const read = await Array.fromAsync(session.stream(rows(count), { batchSize }));
      assertEquals(read.map(({ n }) => n), Array.from({ length: count }, (_, index) => index + 1));
    }));
}

Deno.test("other statements, and other streams, may run between two portions", () =>
  withDatabase(async (db) => {
    await using session = db.session();
    const seen: number[] = [];
    for await (const { n: outer } of session.stream(rows(3), { batchSize: 1 })) {
      const [row] = await session.query(sql<{ n: number }>`select ${outer * 10}::int as n`);
      seen.push(row!.n);
      for await (const { n: inner } of session.stream(rows(2), { batchSize: 1 })) seen.push(inner);
    }
    assertEquals(seen, [10, 1, 2, 20, 1, 2, 30, 1, 2]);
  }));

Deno.test("rows that a write returns can be streamed, and the unit must say how it ends", () =>
  withDatabase(async (db) => {
    const insert = sql<{ name: string }>`insert into users (id, email, name)
      select gen_random_uuid(), gen_random_uuid()::text, n::text from generate_series(1, 5) n
      returning name`;
    await db.transaction(async (session) => {
      const names = await Array.fromAsync(session.stream(insert, { batchSize: 2 }));
      assertEquals(names.map(({ name }) => name), ["1", "2", "3", "4", "5"]);
      await session.commit();
    });
    await assertRejects(
      () => db.transaction((session) => Array.fromAsync(session.stream(insert, { batchSize: 2 }))),
      SessionNotCommittedError,
    );
    const [[row]] = await db.transaction((session) =>
      session.commit([sql<{ count: bigint }>`select count(*) from users`])
    );
    assertEquals(row?.count, 5n);
  }));

Deno.test("a statement that fails between two portions throws after the rows before them", () =>
  withDatabase(async (db) => {
    await using session = db.session();
    const seen: number[] = [];
    const error = await assertRejects(async () => {
      const failing = sql<{ n: number }>`select 4 / (4 - n) as n from generate_series(1, 9) n`;
      for await (const { n } of session.stream(failing, { batchSize: 2 })) seen.push(n);
    }, ServerError);
    assertEquals(error.sqlState, "22012");
    assertEquals(seen, [1, 2]);
    await session.rollback();
    assertEquals(db.stats().idle, 1);
  }));

Deno.test("an abort stops the server's work for a stream's next portion", () =>
  withDatabase(async (db, _, branch) => {
    const gaveUp = new AbortController();
    await using session = db.session({ signal: gaveUp.signal });
    const slow = sql<{ n: number }>`
      select n, case when n > 2 then pg_sleep(60) end from generate_series(1, 9) n`;
    const reading = assertRejects(
      async () => {
        for await (const { n } of session.stream(slow, { batchSize: 2 })) {
          if (n === 2) void untilActive(branch, 1).then(() => gaveUp.abort());
        }
      },
      DeadlineError,
      "gave up",
    );
    await reading;
    await untilActive(branch, 0);
    await session.rollback();
    assertEquals(db.stats().leased, 0);
  }));

async function untilActive(branch: LocalBranch, count: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const [row] = await branch.asAdmin<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
       where wait_event = 'PgSleep' and datname = current_database()`,
    );
    if (row?.count === count) return;
  }
  throw new Error(`Cannot go on as the server still does not sleep ${count} times`);
}

Deno.test("reading a stream after the end of its session throws", () =>
  withDatabase(async (db) => {
    const session = db.session();
    const stream = session.stream(rows(9), { batchSize: 1 });
    await stream.next();
    await session.commit();
    await assertRejects(() => stream.next(), SessionEndedError, "committed");
  }));

Deno.test("a stream sends nothing until it is read, and a bad batch size throws", () =>
  withDatabase(async (db, traffic) => {
    await using session = db.session();
    session.stream(rows(1));
    assertEquals(traffic.messages, 0);
    for (const batchSize of [0, -1, 1.5, NaN, 2 ** 31]) {
      assertThrows(() => session.stream(rows(1), { batchSize }), RangeError, `${batchSize}`);
    }
  }));
