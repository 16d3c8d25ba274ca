/** The session's cases on a direct connection, and cases that need one. */
import { assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "@std/assert";
import {
  CommitRolledBackError,
  DeadlineError,
  NeonDriver,
  ServerError,
  sql,
} from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import { branchDatabase } from "../../support/branch_database.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { sessionCases, untilActivity } from "./session_cases.ts";

const database = await branchDatabase();

for (const { name, run } of sessionCases) {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    await run(branch);
  });
}

Deno.test("a cancel request needs no permit, and the cancelled connection is not reused", async () => {
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

Deno.test("a failed commit([...]) gives its lease back, also on a connection that was idle for long", async () => {
  await using branch = await database.connect();
  const clock = new ManualClock();
  const driver = new NeonDriver({
    ...parseSettings(branch.env).database,
    webSocketConstructor: DatabaseWebSocket,
  });
  await using db = databaseOf(poolOf(driver, { clock }));
  await db.session().commit([sql`select 1`]);
  await clock.advance(1_100);
  await assertRejects(() => db.session().commit([sql`select 1 / 0`]), ServerError);
  assertEquals(db.stats().leased, 0);
});

Deno.test("an 08007 raised by a statement does not make the outcome of COMMIT unknown", async () => {
  await using branch = await database.connect();
  const failing = sql`do $$ begin raise sqlstate '08007'; end $$`;
  await assertRejects(() => branch.open().session().commit([failing]), ServerError);
});
