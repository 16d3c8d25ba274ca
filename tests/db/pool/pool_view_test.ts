import { assertEquals } from "@std/assert";
import { sql, textOf } from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { flushPromises } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";

for (
  const [what, options] of [
    ["with default settings", {}],
    ["with locals", { locals: { "app.user": "ann" } }],
    ["that only reads", { readOnly: true }],
  ] as const
) {
  Deno.test(`inspect() shows the caller's own statements only, in a session ${what}`, async () => {
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

Deno.test("textOf() shows a caller's own set_config, and the last part of a flight that is internal", () => {
  const own = { text: "select set_config('app.user', $1, true)", values: ["ann"] };
  const commit = { text: "commit", values: [], isInternal: true } as const;
  assertEquals(textOf([own, commit]), own.text);
  assertEquals(textOf([commit]), "commit");
});
