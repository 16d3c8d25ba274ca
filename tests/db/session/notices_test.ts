/** The server's notices, as a session hands them on. */
import { assertEquals, assertRejects } from "@std/assert";
import { DeadlineError, NeonDriver, type Notice, ServerError, sql } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import { localDatabase } from "../../support/local_database.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const database = await localDatabase();

const raise = (text: string) => sql`select set_config('app.said', ${text}, true)`;
const NOTE = sql`do $$ begin
  raise notice '%', current_setting('app.said') using detail = 'more', hint = 'ask'; end $$`;

Deno.test("a session's notices come in order, from every kind of call, and not to another session", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const told: Notice[] = [];
  await db.transaction(async (session) => {
    await session.query(sql`create function pg_temp.noted(n int) returns int language plpgsql
      as $$ begin raise warning 'row %', n; return n; end $$`);
    await session.batch([raise("batch"), NOTE]);
    await session.savepoint((inner) => inner.batch([raise("savepoint"), NOTE]));
    const rows = session.stream(
      sql<{ n: number }>`select pg_temp.noted(n) as n from generate_series(1, 2) n`,
      { batchSize: 1 },
    );
    for await (const { n } of rows) told.push({ message: `read ${n}` });
    await session.commit([raise("commit"), NOTE]);
  }, { onNotice: (notice) => void told.push(notice) });
  await db.session().commit([raise("another's"), NOTE]);
  assertEquals(told.map(({ message }) => message), [
    "batch",
    "savepoint",
    "row 1",
    "read 1",
    "row 2",
    "read 2",
    "commit",
  ]);
  const { severity, code, detail, hint, routine } = told[0]!;
  assertEquals(
    { severity, code, detail, hint, routine },
    { severity: "NOTICE", code: "00000", detail: "more", hint: "ask", routine: "exec_stmt_raise" },
  );
});

Deno.test("notices come before the error of their statement, in each attempt, and while it still runs", async () => {
  await using branch = await database.connect();
  const told: (string | undefined)[] = [];
  const failing = sql`do $$ begin raise notice 'seen'; raise serialization_failure; end $$`;
  await assertRejects(
    () =>
      branch.open().transaction((session) => session.query(failing), {
        attempts: 2,
        onNotice: ({ message }) => void told.push(message),
      }),
    ServerError,
  );
  assertEquals(told, ["seen", "seen"]);
  const gaveUp = new AbortController();
  const sleeping = sql`do $$ begin raise notice 'asleep'; perform pg_sleep(55); end $$`;
  // Only a notice that arrives during the statement can end it.
  await using session = branch.open().session({
    signal: gaveUp.signal,
    onNotice: () => gaveUp.abort(),
  });
  await assertRejects(() => session.query(sleeping), DeadlineError);
});

Deno.test("what a function for notices throws goes to waitUntil, and the session goes on", async () => {
  await using branch = await database.connect();
  const background: Promise<string>[] = [];
  const driver = new NeonDriver({
    ...parseSettings(branch.env).database,
    webSocketConstructor: DatabaseWebSocket,
  });
  await using db = databaseOf(poolOf(driver), {
    waitUntil: (rest) => void background.push(rest.then(() => "done", ({ message }) => message)),
  });
  const failures = [
    () => {
      throw new Error("thrown");
    },
    () => Promise.reject(new Error("rejected")),
    async () => {
      await Promise.resolve();
    },
  ];
  for (const onNotice of failures) {
    const session = db.session({ onNotice });
    await session.batch([raise("heard"), NOTE]);
    await session.commit([sql`select 1`]);
  }
  assertEquals(await Promise.all(background), ["thrown", "rejected", "done"]);
});
