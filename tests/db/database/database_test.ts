import { assertEquals, assertRejects } from "@std/assert";
import { DeadlineError, sql } from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";

for (const which of ["the database's", "the session's"] as const) {
  Deno.test(`${which} signal ends a session that has both signals, and its unit is not retried`, async () => {
    const [ofDatabase, ofSession] = [new AbortController(), new AbortController()];
    const driver = new ScriptedDriver({});
    await using db = databaseOf(poolOf(driver), { signal: ofDatabase.signal });
    let runs = 0;
    await assertRejects(
      () =>
        db.transaction(async (session) => {
          runs++;
          await session.query(sql`select 1`);
          (which === "the database's" ? ofDatabase : ofSession).abort();
          await session.query(sql`select 2`);
        }, { signal: ofSession.signal }),
      DeadlineError,
    );
    assertEquals(runs, 1);
    const sent = driver.connections[0]!.flights.flat();
    assertEquals([sent.includes("select 1"), sent.includes("select 2")], [true, false]);
  });
}

Deno.test("a database's signal alone ends a session, and only once it aborts", async () => {
  const gone = new AbortController();
  const driver = new ScriptedDriver({});
  await using db = databaseOf(poolOf(driver), { signal: gone.signal });
  await db.transaction((session) => session.commit([sql`select 1`]));
  gone.abort();
  await assertRejects(() => db.session().query(sql`select 2`), DeadlineError);
});

Deno.test("an option that is undefined, as plain JavaScript may pass it, leaves the database's default", async () => {
  const driver = new ScriptedDriver({});
  await using db = databaseOf(poolOf(driver));
  const isolation = undefined as unknown as "serializable";
  await db.session({ isolation, readOnly: true }).commit([sql`select 1`]);
  const [begin] = driver.connections[0]!.flights.flat();
  assertEquals(begin, "begin isolation level read committed, read only");
});
