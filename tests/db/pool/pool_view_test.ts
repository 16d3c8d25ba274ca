import { assertEquals } from "@std/assert";
import { sql } from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { flushPromises } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";

for (
  const [what, options] of [
    ["as ever", {}],
    ["with settings of its own", { locals: { "app.user": "ann" } }],
    ["that only reads", { readOnly: true }],
  ] as const
) {
  Deno.test(`a connection is seen at its author's statements alone, in a session ${what}`, async () => {
    const answer = Promise.withResolvers<undefined>();
    const driver = new ScriptedDriver({
      reply: ({ text }) => text === "select 1" ? answer.promise : undefined,
    });
    await using db = databaseOf(poolOf(driver));
    await using session = db.session(options);
    const running = session.commit([sql`select 1`]);
    await flushPromises();
    const [connection] = db.inspect().connections;
    answer.resolve(undefined);
    await running;
    assertEquals(connection?.running?.text, "select 1");
  });
}
