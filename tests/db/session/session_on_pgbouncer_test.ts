/** The session's cases through PgBouncer in transaction mode. No state may stay on a server connection. */
import { assertEquals } from "@std/assert";
import { NeonDriver, sql } from "../../../src/db/mod.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";
import { sessionCases } from "./session_cases.ts";

for (const { name, run } of sessionCases) {
  pgBouncerTest(name, async (branch) => {
    await run(branch);
    assertEquals(await branch.leftovers(), []);
  });
}

pgBouncerTest("a role with a SCRAM password works", async (branch) => {
  const db = branch.open(branch.envOf("user_service_scram"));
  const [[row]] = await db.transaction(
    (session) => session.commit([sql<{ role: string }>`select current_user::text as role`]),
    { readOnly: true },
  );
  assertEquals(row?.role, "user_service_scram");
});

pgBouncerTest(
  "two sessions after each other share a server connection, but no locals",
  async (branch) => {
    const who = sql<{ pid: number; user: string }>`
    select pg_backend_pid() as pid, coalesce(current_setting('app.user', true), '') as user`;
    const [first, second] = [branch.open(), branch.open()];
    const [[anns]] = await first.transaction((session) => session.commit([who]), {
      locals: { "app.user": "Ann" },
    });
    const [[without]] = await second.transaction((session) => session.commit([who]));
    assertEquals(anns?.user, "Ann");
    assertEquals(without, { pid: anns!.pid, user: "" });
  },
);

pgBouncerTest(
  "leftovers() finds state that another client left on a server connection",
  async (branch) => {
    const driver = new NeonDriver({
      url: branch.env["DATABASE_URL"]!,
      wsProxy: branch.env["DATABASE_WS_PROXY"],
      pipelineConnect: true,
    });
    const connection = await driver.connect({ timeoutMs: 5_000 });
    const texts = [
      "select set_config('app.user', 'Ann', false)",
      "set lock_timeout = '1s'",
      "prepare left_there as select 1",
      "declare left_open cursor with hold for select 1",
      "listen left_on",
      "select pg_advisory_lock(7)",
      "create temporary table left_over ()",
      "select pg_backend_pid() as pid",
    ];
    const { results, error } = await connection.flight(texts.map((text) => ({ text, values: [] })));
    await connection.close({ timeoutMs: 5_000 });
    assertEquals(error, undefined);
    const pid = results.at(-1)!.rows[0]!["pid"];
    assertEquals(
      await branch.leftovers(),
      [
        "setting lock_timeout = 1000",
        "local app.user",
        "prepared statement left_there",
        "cursor left_open",
        "channel left_on",
        "advisory lock 7",
        "temporary schema",
      ].map((what) => `${pid}: ${what}`),
    );
    await branch.asAdmin(`select pg_terminate_backend(${pid}, 5000)`);
  },
);
