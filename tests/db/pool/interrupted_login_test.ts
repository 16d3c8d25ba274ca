/** A first statement travels with the login. A caller that gives it up closes the connection, and the database is as it was. */
import { assertEquals, assertRejects } from "@std/assert";
import { DeadlineError, OwnerScope, sql } from "../../../src/db/mod.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

/** Callers that give up their statements after so many milliseconds of a login, one after the other. */
async function giveUpLogins(afterMs: readonly number[]) {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({ pipelined: true, serve: () => {} });
  const pool = poolOf(driver, { clock, size: 5, maxOverflow: 0 });
  const scope = OwnerScope.lasting();
  const db = databaseOf(pool, { scope, clock, attempts: 1 });
  for (const ms of afterMs) {
    const caller = new AbortController();
    const call = assertRejects(
      () => db.session({ signal: caller.signal, readOnly: true }).commit([sql`select 1`]),
      DeadlineError,
    );
    await flushPromises();
    await clock.advance(ms);
    caller.abort();
    await clock.advance(0);
    await call;
    await flushPromises();
  }
  const waiting = pool.acquire({ scope }).then(async (lease) => {
    await lease.destroy();
    return "served";
  }, (error) => error.name);
  await flushPromises();
  return { outcome: await waiting, failed: pool.stats().counters.connectFailed };
}

Deno.test("logins that their callers have given up soon do not have others refused", async () => {
  assertEquals(await giveUpLogins([1, 0, 400]), { outcome: "served", failed: 0 });
});

Deno.test("logins that were slow show an outage, also if their callers have given up first", async () => {
  assertEquals(await giveUpLogins([600]), { outcome: "PoolOverloadedError", failed: 1 });
});
