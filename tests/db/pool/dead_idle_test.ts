/** Connections that died idle, which the pool notices at their next use: which callers get an error for it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  type Database,
  type Session,
  sql,
} from "../../../src/db/mod.ts";
import { type FaultBranch, faultBranch } from "../../support/fault_branch.ts";
import { rowsOf } from "../../support/fault_fixture.ts";
import { BEGIN, dropBefore, hold, pass } from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";

const KEPT = 10;
const CALLERS = 100;

const database = await localDatabase();

/** One attempt for each unit of work, so that only the replay can hide a dead connection from the caller. */
function openPool(branch: FaultBranch): Database {
  return branch.open({
    DATABASE_POOL_SIZE: `${KEPT}`,
    DATABASE_MAX_OVERFLOW: `${KEPT}`,
    DATABASE_RETRY_ATTEMPTS: "1",
  });
}

function read(session: Session) {
  return session.commit([sql`select 1`]);
}

function writeOf(name: string) {
  return (session: Session) =>
    session.commit([sql`insert into users (id, email, name)
      values (gen_random_uuid(), gen_random_uuid()::text, ${name})`]);
}

/** Makes as many idle connections as the pool keeps. */
async function fill(db: Database): Promise<void> {
  const sessions = Array.from({ length: KEPT }, () => db.session({ readOnly: true }));
  await Promise.all(sessions.map((session) => session.query(sql`select 1`)));
  await Promise.all(sessions.map((session) => session.rollback()));
  assertEquals(db.stats().idle, KEPT);
}

/** Terminates all backends, and holds their FATAL messages back until a flight was sent on each dead connection. */
async function killUnnoticed(branch: FaultBranch): Promise<void> {
  const goodbye = { direction: "toClient", kind: "ErrorResponse" } as const;
  const earlier = branch.relay.when({ ...goodbye, times: KEPT - 1 }, hold());
  const last = branch.relay.when({ ...goodbye, nth: KEPT }, hold());
  const lastFlight = branch.relay.when({ ...BEGIN, nth: KEPT }, pass());
  await branch.asAdmin(`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'user-service' and datname = current_database()`);
  await last.struck();
  void lastFlight.struck().then(() => {
    earlier.release();
    last.release();
  });
}

for (
  const [kind, work, options] of [
    ["reads", read, { readOnly: true }],
    ["writes", writeOf("replayed"), {}],
  ] as const
) {
  Deno.test({
    name: `${CALLERS} ${kind} after all idle backends were killed unnoticed: all succeed, ` +
      "each dead connection costs each of them that was on it one replay",
    timeout: 30_000,
    async fn() {
      await using branch = await faultBranch(database);
      const db = openPool(branch);
      await fill(db);
      await killUnnoticed(branch);
      let runs = 0;
      await Promise.all(Array.from({ length: CALLERS }, () =>
        db.transaction((session) => {
          runs++;
          return work(session);
        }, options)));
      assertEquals(runs, CALLERS);
      // A connection that reads share costs each of them one.
      const { replayed, counters: { shared } } = db.stats();
      assert(replayed >= KEPT && replayed <= KEPT + shared, `${replayed} replays`);
      if (kind === "writes") assertEquals(shared, 0);
      if (kind === "writes") assertEquals(await rowsOf(branch, "replayed"), CALLERS);
    },
  });
}

Deno.test("a one-flight write on a connection that was cut silently within a second is not replayed, and its outcome is unknown", async () => {
  await using branch = await faultBranch(database);
  const db = openPool(branch);
  await db.transaction(read, { readOnly: true });
  branch.relay.when(BEGIN, dropBefore());
  await assertRejects(() => db.transaction(writeOf("silence")), CommitOutcomeUnknownError);
  assertEquals(db.stats().replayed, 0);
  assertEquals(branch.relay.connections.length, 1);
  assertEquals(await rowsOf(branch, "silence"), 0);
});

Deno.test("a one-flight read on a connection that was cut silently is replayed", async () => {
  await using branch = await faultBranch(database);
  const db = openPool(branch);
  await db.transaction(read, { readOnly: true });
  branch.relay.when(BEGIN, dropBefore());
  await db.transaction(read, { readOnly: true });
  assertEquals(db.stats().replayed, 1);
});
