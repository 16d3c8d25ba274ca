/** PgBouncer's own errors, made by PgBouncer itself: what they mean for a unit, and for the client of the service. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  classify,
  ConnectError,
  databaseErrorIn,
  ServerError,
  type Session,
  sql,
} from "../../../src/db/mod.ts";
import { problemOf } from "../../../src/http/problem_of.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import type { PgBouncerBranch } from "../../support/pgbouncer_database.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";

const PIPELINED = { DATABASE_PIPELINE_CONNECT: "on" };

function insertOf(name: string) {
  return sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${name})`;
}

async function rowsOf(branch: PgBouncerBranch, name: string): Promise<number> {
  const [row] = await branch.asAdmin<{ rows: number }>(
    `select count(*)::int as rows from users where name = '${name}'`,
  );
  return row!.rows;
}

/** Whether a backend of the service still runs something. */
async function isBusy(branch: PgBouncerBranch): Promise<boolean> {
  const [row] = await branch.asAdmin<{ count: number }>(`
    select count(*)::int as count from pg_stat_activity
    where usename = 'user_service' and datname = current_database() and state <> 'idle'`);
  return row!.count > 0;
}

/** Runs a unit on a database with a warm connection. Gives the error, what PgBouncer said, and how it is answered. */
async function fail(
  branch: PgBouncerBranch,
  work: (session: Session) => Promise<unknown>,
  { isWarm = true }: { isWarm?: boolean } = {},
) {
  const db = branch.open(PIPELINED);
  if (isWarm) await db.session({ readOnly: true }).commit([sql`select 1`]);
  let runs = 0;
  const error = await db.transaction((session) => {
    runs++;
    return work(session);
  }).then(() => assert(false, "the unit succeeded"), (error) => error);
  const { status, type }: { status: number; type: string } = problemOf(error);
  const { retried, replayed, unknown } = db.stats();
  return {
    error,
    said: saidBehind(error),
    seen: {
      name: error.name,
      runs,
      retried,
      replayed,
      unknown,
      status,
      type: type.split("/").at(-1),
    },
  };
}

function saidBehind(error: unknown): string | undefined {
  const { cause } = databaseErrorIn(error) ?? {};
  if (cause instanceof ServerError) {
    assertEquals([cause.sqlState, cause.severity, cause.routine], ["08P01", "FATAL", undefined]);
    return cause.message;
  }
  return cause === undefined ? undefined : saidBehind(cause);
}

const FINAL = {
  runs: 1,
  retried: {},
  replayed: 0,
  unknown: 0,
  status: 504,
  type: "deadline-exceeded",
};

for (const isWarm of [true, false]) {
  const where = isWarm ? "a connection that was idle" : "a new connection";
  pgBouncerTest(`"query timeout" on ${where} is final, and nothing runs twice`, async (branch) => {
    const { said, seen } = await fail(
      branch,
      (session) => session.query(sql`select pg_sleep(1.5)`),
      { isWarm },
    );
    assertEquals(said, "query timeout");
    assertEquals(seen, { name: "ConnectionLostError", ...FINAL });
  }, { query_timeout: "0.4" });
}

pgBouncerTest('"query timeout" later in a transaction is final', async (branch) => {
  const name = "timed out in its second flight";
  const { said, seen } = await fail(branch, async (session) => {
    await session.query(insertOf(name));
    await session.query(sql`select pg_sleep(1.5)`);
    await session.commit();
  });
  assertEquals(said, "query timeout");
  assertEquals(seen, { name: "ConnectionLostError", ...FINAL });
  await pollUntil(async () => !await isBusy(branch), { deadlineMs: 10_000, intervalMs: 50 });
  assertEquals(await rowsOf(branch, name), 0);
}, { query_timeout: "0.4" });

pgBouncerTest(
  '"query timeout" on a flight with COMMIT leaves its outcome unknown, since PostgreSQL goes on with it',
  async (branch) => {
    const name = "committed behind the timeout";
    const { said, seen } = await fail(
      branch,
      (session) => session.commit([insertOf(name), sql`select pg_sleep(1.5)`]),
    );
    assertEquals(said, "query timeout");
    assertEquals(seen, {
      ...FINAL,
      name: "CommitOutcomeUnknownError",
      unknown: 1,
      status: 500,
      type: "outcome-unknown",
    });
    await pollUntil(async () => !await isBusy(branch), { deadlineMs: 10_000, intervalMs: 50 });
    assertEquals(await rowsOf(branch, name), 1, "what PgBouncer had passed on was run to its end");
  },
  { query_timeout: "0.4" },
);

pgBouncerTest(
  '"query timeout" on a COMMIT whose transaction id is known is looked up, and then final',
  async (branch) => {
    const name = "looked up behind the timeout";
    const { said, seen } = await fail(branch, async (session) => {
      await session.query(insertOf(name));
      await session.commit([sql`select pg_sleep(3)`]);
    });
    assertEquals(said, "query timeout");
    assertEquals(seen, { name: "ConnectionLostError", ...FINAL });
    assertEquals(await rowsOf(branch, name), 0);
    assertEquals(await isBusy(branch), false, "the lookup has ended the backend");
  },
  { query_timeout: "0.4" },
);

for (const isLast of [false, true]) {
  const next = isLast ? "the next flight is COMMIT" : "the next flight is a statement";
  pgBouncerTest(`"idle transaction timeout" is final if ${next}`, async (branch) => {
    const name = `idle ${isLast}`;
    const { said, seen } = await fail(branch, async (session) => {
      await session.query(insertOf(name));
      const isGone = async () => !await isBusy(branch);
      assert(await pollUntil(isGone, { deadlineMs: 10_000, intervalMs: 50 }));
      if (isLast) await session.commit();
      else await session.query(sql`select 1`);
    });
    assertEquals(said, "idle transaction timeout");
    assertEquals(seen, { name: "ConnectionLostError", ...FINAL });
    assertEquals(await rowsOf(branch, name), 0);
  }, { idle_transaction_timeout: "0.4" });
}

/** Takes the pooler's only server connection, and gives it back when disposed of. */
async function holdServer(branch: PgBouncerBranch): Promise<AsyncDisposable> {
  const holder = branch.open(PIPELINED).session();
  await holder.query(sql`select 1`);
  return holder;
}

pgBouncerTest(
  '"query_wait_timeout" is overload: run again, and never an unknown outcome',
  async (branch) => {
    const name = "queued in the pooler";
    const db = branch.open({ ...PIPELINED, DATABASE_RETRY_ATTEMPTS: "2" });
    await db.session({ readOnly: true }).commit([sql`select 1`]);
    let runs = 0;
    let error: unknown;
    {
      await using _holder = await holdServer(branch);
      await db.transaction((session) => {
        runs++;
        return session.commit([insertOf(name)]);
      }).catch((caught) => error = caught);
    }
    assertInstanceOf(error, Error);
    assertEquals(saidBehind(error), "query_wait_timeout");
    const { retried, replayed, unknown } = db.stats();
    assertEquals([runs, retried, replayed, unknown], [2, { pooler_full: 1 }, 0, 0]);
    assertEquals(problemOf(error).type.split("/").at(-1), "overloaded");
    await db.transaction((session) => session.commit([insertOf(name)]));
    assertEquals(await rowsOf(branch, name), 1);
  },
  { query_wait_timeout: "0.4", default_pool_size: "1" },
);

pgBouncerTest('"no more connections allowed" is overload', async (branch) => {
  await using _holder = await holdServer(branch);
  const db = branch.open({ ...PIPELINED, DATABASE_RETRY_ATTEMPTS: "1" });
  const error = await db.transaction((session) => session.commit([insertOf("too many")]))
    .catch((caught) => caught);
  assertInstanceOf(error, ConnectError);
  assertEquals(saidBehind(error), "no more connections allowed (max_client_conn)");
  assertEquals(classify(error, "statement").kind, "pooler_full");
  assertEquals(problemOf(error).type.split("/").at(-1), "overloaded");
}, { max_client_conn: "1" });

pgBouncerTest(
  '"client_idle_timeout" costs a connection and no caller anything, also if it crosses a COMMIT',
  async (branch) => {
    const db = branch.open(PIPELINED);
    await db.session({ readOnly: true }).commit([sql`select 1`]);
    const isClosed = () => db.stats().idle === 0;
    assert(await pollUntil(isClosed, { deadlineMs: 10_000, intervalMs: 20 }));
    await db.transaction((session) => session.commit([insertOf("after the timeout")]));
    assertEquals(await rowsOf(branch, "after the timeout"), 1);
  },
  { client_idle_timeout: "0.4" },
);
