/** Opening a database in one line, on Deno. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { PoolClosedError, type SessionOptions, sql } from "../../src/db/mod.ts";
import { openDatabase } from "../../src/library/deno/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { configOf } from "./config_of.ts";

const database = await localDatabase();

async function withConfig(test: (config: ReturnType<typeof configOf>) => Promise<void>) {
  await using branch = await database.connect();
  await test(configOf(branch));
}

Deno.test("openDatabase() needs a URL only, and has the settings' defaults", async () => {
  await withConfig(async (config) => {
    await using db = openDatabase(config);
    await using session = db.session({ readOnly: true });
    const [row] = await session.query(sql`
      select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
        current_setting('transaction_isolation') as isolation`);
    assertEquals(row, { statement: "15s", lock: "5s", isolation: "read committed" });
    assertEquals(db.stats().limit, 50);
  });
});

Deno.test("an option of a session or a unit that is undefined is as if left out", async () => {
  await withConfig(async (config) => {
    await using db = openDatabase({ ...config, onLeak: undefined, onBackgroundError: undefined });
    const options: SessionOptions = {
      signal: undefined,
      label: undefined,
      parsers: undefined,
      onNotice: undefined,
      isolation: undefined,
      readOnly: undefined,
      statementTimeoutMs: undefined,
      locals: undefined,
    };
    const statement = sql<
      { statement: string }
    >`select current_setting('statement_timeout') as statement`;
    await using session = db.session(options);
    const unit = { ...options, attempts: undefined, timeoutMs: undefined };
    const rows = [
      await session.query(statement),
      await db.transaction((session) => session.query(statement), unit),
      await db.run(statement, { label: undefined, signal: undefined, timeoutMs: undefined }),
    ];
    assertEquals(rows.slice(0, 2), [[{ statement: "15s" }], [{ statement: "15s" }]]);
    // It has no transaction whose settings could be set.
    assertEquals(rows[2], [{ statement: "0" }]);
  });
});

Deno.test("openDatabase() takes the pool's bounds and the session's settings", async () => {
  await withConfig(async (config) => {
    await using db = openDatabase({
      ...config,
      pool: { size: 1, maxOverflow: 1 },
      session: { isolation: "serializable", readOnly: true },
      parsers: { 20: Number },
    });
    const [rows] = await db.session().commit([
      sql`select current_setting('transaction_isolation') as isolation, 1::int8 as n`,
    ]);
    assertEquals(rows, [{ isolation: "serializable", n: 1 }]);
    assertEquals(db.stats().limit, 2);
  });
});

Deno.test("close() lets an open session finish, and refuses later ones; the end of a block closes too", async () => {
  await withConfig(async (config) => {
    await using db = openDatabase(config);
    const session = db.session({ readOnly: true });
    await session.query(sql`select 1`);
    const closed = db.close();
    await assertRejects(() => db.session().query(sql`select 1`), PoolClosedError);
    assertEquals(await session.query(sql`select 2 as two`), [{ two: 2 }]);
    await session.commit();
    await closed;
    assertEquals(db.stats().idle, 0);
  });
});

Deno.test("close() waits for hooks of afterCommit, and their failures are reported", async () => {
  await withConfig(async (config) => {
    const errors: unknown[] = [];
    const hook = Promise.withResolvers<void>();
    const db = openDatabase({ ...config, onBackgroundError: (error) => errors.push(error) });
    await db.transaction(async (session) => {
      session.afterCommit(() => hook.promise);
      await session.commit([sql`select 1`]);
    });
    const closed = db.close();
    assertEquals(db.stats().idle, 1);
    hook.reject(new Error("from the hook"));
    await closed;
    assertEquals(errors.map(String), ["Error: from the hook"]);
    assertEquals(db.stats().idle, 0);
  });
});

Deno.test("a URL that cannot be used is refused without showing it", () => {
  const urls = [
    "",
    "mysql://u:secret@h/d",
    "postgresql://u:sec@ret@h/d",
    "postgresql://u:secret@h/",
    undefined,
  ];
  for (const url of urls as string[]) {
    const error = assertThrows(
      () => openDatabase({ url }),
      TypeError,
      "Cannot open the database as its URL",
    );
    assert(!error.message.includes("secret") && !error.message.includes("sec@"), error.message);
  }
});

Deno.test("a bad size of the pool is refused", () => {
  const url = "postgresql://u:secret@h/d";
  for (const pool of [{ size: 0 }, { size: 1.5 }, { maxOverflow: -1 }, { size: Infinity }]) {
    assertThrows(() => openDatabase({ url, pool }), RangeError);
  }
});
