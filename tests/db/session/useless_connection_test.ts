/** A connection that is alive and of no use: it is closed, and the unit runs again on a fresh one. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { type Database, ServerError, type Session, sql, trustedSql } from "../../../src/db/mod.ts";
import { problemOf } from "../../../src/http/problem_of.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

function insertOf(name: string) {
  return sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${name})`;
}

async function pidOf(session: Session): Promise<number> {
  const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
  return row!.pid;
}

/** Opens `count` connections and leaves a setting behind on each, as `set_config(..., false)` in a SELECT does. */
async function leak(db: Database, { count = 1 }: { count?: number } = {}): Promise<number[]> {
  const sessions = Array.from({ length: count }, () => db.session());
  const pids = await Promise.all(sessions.map(pidOf));
  await Promise.all(
    sessions.map((session) =>
      session.commit([sql`select set_config('default_transaction_read_only', 'on', false)`])
    ),
  );
  assertEquals(new Set(pids).size, count);
  assertEquals(db.stats().idle, count);
  return pids;
}

const WRITES: readonly [
  name: string,
  work: (session: Session, name: string) => Promise<unknown>,
][] = [
  ["a write with its COMMIT", (session, name) => session.commit([insertOf(name)])],
  ["a write and then COMMIT", async (session, name) => {
    await session.query(insertOf(name));
    await session.commit();
  }],
  ["a write after a read", async (session, name) => {
    await session.query(sql`select 1`);
    await session.query(insertOf(name));
    await session.commit();
  }],
  ["a write in a savepoint", async (session, name) => {
    await session.savepoint((inner) => inner.query(insertOf(name)));
    await session.commit();
  }],
  ["a streamed write", async (session, name) => {
    const rows = session.stream(sql`insert into users (id, email, name)
        values (gen_random_uuid(), gen_random_uuid()::text, ${name}) returning id`);
    assertEquals((await Array.fromAsync(rows)).length, 1);
    await session.commit();
  }],
  ["a row lock", async (session, name) => {
    await session.query(sql`select 1 from users for update`);
    await session.commit([insertOf(name)]);
  }],
  ["a library's error around it", async (session, name) => {
    await session.query(insertOf(name)).catch((cause) => {
      throw new Error("from a library", { cause });
    });
    await session.commit();
  }],
];

for (const [what, work] of WRITES) {
  Deno.test(`${what} on a connection that was left read only runs again on a fresh one`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    const [stale] = await leak(db);
    let runs = 0;
    await db.transaction((session) => {
      runs++;
      return work(session, what);
    });
    assertEquals(runs, 2);
    const [row] = await branch.asAdmin<{ rows: number }>(
      `select count(*)::int as rows from users where name = '${what.replaceAll("'", "''")}'`,
    );
    assertEquals(row!.rows, 1);
    assertEquals(db.stats().retried, { read_only: 1 });
    const pids = await Promise.all([1, 2, 3].map(async () => {
      await using session = db.session();
      return await pidOf(session);
    }));
    assert(!pids.includes(stale!), "the useless connection is closed");
  });
}

Deno.test("many useless connections cost each unit one run, with two attempts", async () => {
  await using branch = await database.connect();
  const db = branch.open({
    DATABASE_POOL_SIZE: "8",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_RETRY_ATTEMPTS: "2",
  });
  const stale = await leak(db, { count: 8 });
  for (let unit = 0; unit < 8; unit++) {
    await db.transaction((session) => session.commit([insertOf(`unit ${unit} of many`)]));
  }
  const [row] = await branch.asAdmin<{ rows: number }>(
    "select count(*)::int as rows from users where name like 'unit % of many'",
  );
  assertEquals(row!.rows, 8);
  // A unit takes the connection that the last one has left, so that the other stale ones wait for their own turn.
  const sessions = Array.from({ length: 8 }, () => db.session());
  const pids = await Promise.all(sessions.map(pidOf));
  await Promise.all(sessions.map((session) => session.rollback()));
  const left = pids.filter((pid) => stale.includes(pid)).length;
  await Promise.all(
    Array.from(
      { length: 8 },
      (_, unit) => db.transaction((session) => session.commit([insertOf(`unit ${unit} at once`)])),
    ),
  );
  assertEquals([left, db.stats().retried], [7, { read_only: 8 }]);
});

Deno.test("a session without retry gets the error, and its useless connection is closed", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [stale] = await leak(db);
  await using session = db.session();
  const error = await assertRejects(() => session.commit([insertOf("no retry")]), ServerError);
  assertEquals(error.sqlState, "25006");
  await using next = db.session();
  assertNotEquals(await pidOf(next), stale);
});

Deno.test("a useless connection is closed also if the work goes on after a savepoint", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [stale] = await leak(db);
  const one = await db.transaction(async (session) => {
    await session.savepoint((inner) => inner.query(insertOf("swallowed"))).catch(() => {});
    const [row] = await session.query(sql<{ one: number }>`select 1 as one`);
    await session.commit();
    return row!.one;
  });
  assertEquals(one, 1);
  await using next = db.session();
  assertNotEquals(await pidOf(next), stale);
});

Deno.test("a write in a session that asked to be read only is the caller's mistake", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  let runs = 0;
  let pid: number | undefined;
  const error = await assertRejects(
    () =>
      db.transaction(async (session) => {
        runs++;
        pid = await pidOf(session);
        await session.commit([insertOf("read only")]);
      }, { readOnly: true }),
    ServerError,
  );
  assertEquals([error.sqlState, runs, problemOf(error).status], ["25006", 1, 500]);
  await using next = db.session();
  assertEquals(await pidOf(next), pid, "the connection is kept");
});

Deno.test("while the database is read only, attempts end by their bound; afterwards no connection is left useless", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [{ name }] = await branch.asAdmin<{ name: string }>(
    "select current_database() as name",
  ) as [
    { name: string },
  ];
  await branch.asAdmin(
    `alter role user_service in database "${name}" set default_transaction_read_only = on`,
  );
  let runs = 0;
  const error = await assertRejects(() =>
    db.transaction((session) => {
      runs++;
      return session.commit([insertOf("disk full")]);
    }), ServerError);
  const { status, type }: { status: number; type: string } = problemOf(error);
  assertEquals([error.sqlState, error.attempts, runs], ["25006", 4, 4]);
  assertEquals([status, type.split("/").at(-1)], [503, "database-unreachable"]);
  // Reads go on, over connections that stay.
  const pids = [];
  for (let read = 0; read < 3; read++) {
    await using session = db.session({ readOnly: true });
    pids.push(await pidOf(session));
    await session.commit();
  }
  assertEquals(new Set(pids).size, 1);
  await branch.asAdmin(
    `alter role user_service in database "${name}" reset default_transaction_read_only`,
  );
  runs = 0;
  await db.transaction((session) => {
    runs++;
    return session.commit([insertOf("disk freed")]);
  });
  assertEquals(runs, 2);
});

/** Functions in PL/pgSQL, whose compiled form each connection keeps, and a change that leaves that form behind. */
const STALE_PLANS: readonly [what: string, sqlState: string, before: string[], change: string[]][] =
  [
    [
      "42804: the type of a column has changed",
      "42804",
      [
        "create table stale_items (a int)",
        "insert into stale_items values (1)",
        `create function stale_plan_42804() returns text language plpgsql as $$
        declare r record; begin select * into r from stale_items; return r.a + 1; end $$`,
        "grant select on stale_items to user_service",
      ],
      ["alter table stale_items alter a type numeric"],
    ],
    [
      "XX000: a type was made again",
      "XX000",
      [
        "create type stale_mood as enum ('calm')",
        `create function stale_plan_XX000() returns text language plpgsql as $$
        declare m stale_mood; begin m := 'calm'; return m; end $$`,
      ],
      ["drop type stale_mood", "create type stale_mood as enum ('calm')"],
    ],
  ];

for (const [what, sqlState, before, change] of STALE_PLANS) {
  Deno.test(`a connection whose procedure has a stale plan is closed, after ${what}`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    for (const statement of before) await branch.asAdmin(statement);
    const call = sql`select ${trustedSql(`stale_plan_${sqlState}`)}()`;
    const expected = await db.transaction((session) => session.commit([call]));
    for (const statement of change) await branch.asAdmin(statement);
    let runs = 0;
    const sqlStates: unknown[] = [];
    const after = await db.transaction((session) => {
      runs++;
      return session.commit([call]).catch((error) => {
        sqlStates.push(error.sqlState);
        throw error;
      });
    });
    assertEquals([runs, sqlStates], [2, [sqlState]]);
    assertEquals(after, expected);
    assertEquals(db.stats().retried, { stale_plan: 1 });
  });
}

for (const sqlState of ["25006", "26000", "XX000"]) {
  Deno.test(`${sqlState} that a procedure raises is the procedure's own, and keeps the connection`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    await branch.asAdmin(`create function raise_${sqlState}() returns void language plpgsql as $$
      begin raise exception 'cache lookup failed for order' using errcode = '${sqlState}'; end $$`);
    let runs = 0;
    let pid: number | undefined;
    const error = await assertRejects(() =>
      db.transaction(async (session) => {
        runs++;
        pid = await pidOf(session);
        await session.query(sql`select ${trustedSql(`raise_${sqlState}`)}()`);
      }), ServerError);
    assertEquals([error.sqlState, runs], [sqlState, 1]);
    await using next = db.session();
    assertEquals(await pidOf(next), pid);
  });
}

Deno.test("runs again after stale connections are free, and those after fresh ones spend the retry budget", async () => {
  await using branch = await database.connect();
  const db = branch.open({ DATABASE_POOL_SIZE: "20", DATABASE_MAX_OVERFLOW: "0" });
  await leak(db, { count: 20 });
  await Promise.all(
    Array.from(
      { length: 20 },
      (_, unit) => db.transaction((session) => session.commit([insertOf(`free ${unit}`)])),
    ),
  );
  const { retried, budgetDenied } = db.stats();
  assertEquals([retried, budgetDenied], [{ read_only: 20 }, 0]);
});
