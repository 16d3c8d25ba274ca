/**
 * A write and its COMMIT in one flight whose answer is lost as a whole, so that no xid is known: never a second run,
 * never a false success or failure. Cases with a known xid are in `session/commit_outcome_test.ts`.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { CommitOutcomeUnknownError, DeadlineError, sql } from "../../src/db/mod.ts";
import { faultBranch } from "../support/fault_branch.ts";
import { rowsInTheEnd } from "../support/fault_fixture.ts";
import { COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore, freeze } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

function insert(name: string) {
  return sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${name})`;
}

for (
  const [what, point, fault, rows] of [
    ["received by the server", COMMIT_EXECUTE, dropAfter, 1],
    ["dropped before the server", COMMIT, dropBefore, 0],
  ] as const
) {
  for (const isCold of [true, false]) {
    const name = `a one-flight write, its COMMIT ${what}, on a ${
      isCold ? "cold" : "warm"
    } connection`;
    Deno.test(`${name}: the outcome is unknown, and the work runs once`, async () => {
      await using branch = await faultBranch(database);
      const db = branch.open();
      if (!isCold) await db.transaction((session) => session.commit([sql`select 1`]));
      const armed = branch.relay.when(point, fault());
      let runs = 0;
      await assertRejects(() =>
        db.transaction(async (session) => {
          runs++;
          await session.commit([insert(name)]);
        }), CommitOutcomeUnknownError);
      assertEquals(armed.strikes, 1);
      assertEquals(runs, 1);
      assertEquals(await rowsInTheEnd(branch, { name, expected: rows }), rows);
    });
  }
}

Deno.test("a read is retried if its cold connection is lost during COMMIT", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open();
  branch.relay.when(COMMIT_EXECUTE, dropAfter());
  const [[row]] = await db.transaction(
    (session) => session.commit([sql<{ one: number }>`select 1 as one`]),
    { readOnly: true },
  );
  assertEquals(row?.one, 1);
});

Deno.test("a caller that aborts during a pipelined login does not wait for the login", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open({ DATABASE_CONNECT_TIMEOUT: "60" });
  const armed = branch.relay.when({ at: "upgrade" }, freeze());
  const gaveUp = new AbortController();
  const unit = assertRejects(
    () => db.transaction((session) => session.query(sql`select 1`), { signal: gaveUp.signal }),
    DeadlineError,
    "gave up",
  );
  await armed.struck();
  gaveUp.abort();
  await unit;
  assertEquals(db.stats().leased, 0);
});
