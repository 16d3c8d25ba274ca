/** The pool's own behaviour: clients, events, counts, callbacks, and what it refuses. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  AcquireTimeoutError,
  CommitOutcomeUnknownError,
  DeadlineError,
} from "../../../src/db/mod.ts";
import { type PgClient, pgPool, pgTypes } from "../../../src/library/pg/mod.ts";
import { withPools } from "./pg_database.ts";

Deno.test("a client keeps its connection from connect() to release(), and an open transaction is rolled back", async () => {
  await withPools(async ({ ours }) => {
    await ours.query("create table kept (id int)");
    const client = await ours.connect();
    await client.query("BEGIN");
    await client.query("insert into kept values ($1)", [1]);
    const { rows } = await client.query("select pg_backend_pid() as pid");
    assertEquals(rows[0].pid, client.processID);
    client.release();
    assertEquals((await ours.query("select * from kept")).rowCount, 0);
    assertThrows(() => client.release(), Error, "released before");
    await assertRejects(() => client.query("select 1"), Error, "given back");
  });
});

Deno.test("queries that nobody awaits run in order, also before release()", async () => {
  await withPools(async ({ ours }) => {
    await ours.query("create table queued (id int)");
    const client = await ours.connect();
    const done = ["begin", "insert into queued values (1)", "commit"].map((text) =>
      client.query(text)
    );
    client.release();
    await Promise.all(done);
    assertEquals((await ours.query("select * from queued")).rowCount, 1);
  });
});

Deno.test("callbacks get what promises get", async () => {
  await withPools(async ({ ours }) => {
    const called = <T>(run: (done: (error: unknown, value: T) => void) => void): Promise<T> =>
      new Promise((resolve, reject) =>
        run((error, value) => error ? reject(error) : resolve(value))
      );
    const { rows } = await called<{ rows: unknown[] }>((done) => ours.query("select 1 as a", done));
    assertEquals(rows, [{ a: 1 }]);
    const two = await called<{ rows: unknown[] }>((done) =>
      ours.query("select $1::int as a", [2], done)
    );
    assertEquals(two.rows, [{ a: 2 }]);
    await assertRejects(() => called((done) => ours.query("selec", done)), Error, "syntax error");
    const pid = await new Promise((resolve, reject) =>
      ours.connect((error, client: PgClient, release) => {
        if (error) return reject(error);
        client.query("select pg_backend_pid() as pid", (failed, result) => {
          release();
          if (failed) reject(failed);
          else resolve(result.rows[0].pid);
        });
      })
    );
    assert(typeof pid === "number");
    await called((done) => ours.end(() => done(null, undefined)));
    const refused = await new Promise((resolve) => ours.connect((error) => resolve(error)));
    assertStringIncludes(String(refused), "end() was called");
  });
});

Deno.test("events and counts follow the clients", async () => {
  await withPools(async ({ ours, asAdmin }) => {
    const events: string[] = [];
    for (const event of ["connect", "acquire", "release", "remove", "error"]) {
      ours.on(event, () => void events.push(event));
    }
    const client = await ours.connect();
    assertEquals([ours.totalCount, ours.idleCount, ours.waitingCount], [1, 0, 0]);
    await client.query("select 1");
    client.release();
    await ours.query("select 1");
    assertEquals([ours.totalCount, ours.idleCount], [1, 1]);
    assertEquals(events.splice(0), ["connect", "acquire", "release", "acquire", "release"]);

    const broken = await ours.connect();
    client.on("error", () => events.push("of the client that was released"));
    const failed = Promise.withResolvers<Error>();
    broken.once("error", failed.resolve);
    await asAdmin(`select pg_terminate_backend(${broken.processID})`);
    assert(await failed.promise instanceof Error);
    const removed = Promise.withResolvers<void>();
    ours.once("remove", () => removed.resolve());
    broken.release(true);
    await removed.promise;
    assertEquals(events, ["acquire", "release", "remove"]);
    await ours.end();
    assertEquals([ours.ending, ours.ended], [true, true]);
  });
});

Deno.test("end() waits for clients, refuses new ones, and leaves the database open", async () => {
  await withPools(async ({ ours, db }) => {
    const client = await ours.connect();
    const ended = ours.end();
    await assertRejects(() => ours.query("select 1"), Error, "end() was called");
    assertEquals([(await client.query("select 1 as a")).rows, ours.ended], [[{ a: 1 }], false]);
    client.release();
    await ended;
    assertEquals((await pgPool(db).query("select 2 as b")).rows, [{ b: 2 }]);
  });
});

Deno.test("SET by a client does not reach the next one, and a connect listener sets up each new connection", async () => {
  await withPools(async ({ ours }) => {
    const client = await ours.connect();
    await client.query("set search_path to pg_catalog");
    client.release();
    const { rows } = await ours.query("show search_path");
    assertEquals(rows, [{ search_path: '"$user", public' }]);
    ours.on("connect", (each: PgClient) => void each.query("set application_name = 'mine'"));
    for (let round = 0; round < 2; round++) {
      const seen = await ours.connect();
      await seen.query("set extra_float_digits = 1");
      seen.release();
    }
    const last = await ours.query("show application_name");
    assertEquals(last.rows, [{ application_name: "mine" }]);
  });
});

Deno.test("types: of the pool, of a query, and the shared ones", async () => {
  await withPools(async ({ db, ours }) => {
    const shouting = { getTypeParser: (id: number) => (text: string) => `${id}:${text}!` };
    const pool = pgPool(db, { types: shouting });
    assertEquals((await pool.query("select 1 as a")).rows, [{ a: "23:1!" }]);
    const own = await pool.query({ text: "select 1::int8 as a", types: pgTypes, rowMode: "array" });
    assertEquals(own.rows, [["1"]]);
    const usual = pgTypes.getTypeParser(20);
    pgTypes.setTypeParser(20, Number);
    try {
      assertEquals((await ours.query("select 1::int8 as a")).rows, [{ a: 1 }]);
    } finally {
      pgTypes.setTypeParser(20, usual);
    }
  });
});

Deno.test("the layer's bounds hold: the statement timeout, the pool's limit, and a transaction's idle time", async () => {
  const env = {
    DATABASE_STATEMENT_TIMEOUT: "0.1",
    DATABASE_IDLE_TRANSACTION_TIMEOUT: "0.05",
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.2",
  };
  await withPools(async ({ ours }) => {
    await assertRejects(() => ours.query("select pg_sleep(58)"), DeadlineError, "100 ms");
    const text = "select pg_sleep(0.2)";
    assertEquals((await ours.query({ text, query_timeout: 10_000 })).rowCount, 1);
    const client = await ours.connect();
    await assertRejects(() => ours.query("select 1"), AcquireTimeoutError);
    const ended = Promise.withResolvers<Error>();
    client.on("error", ended.resolve);
    await client.query("begin");
    assertEquals((await ended.promise as { code?: string }).code ?? "25P03", "25P03");
    client.release();
  }, env);
});

Deno.test("a lost answer is an unknown outcome, also that of COMMIT", async () => {
  await withPools(async ({ ours, asAdmin }) => {
    await ours.query("create table lost (id int)");
    const client = await ours.connect();
    await client.query("begin");
    const dies =
      `do $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end $$`;
    await ours.query(`create function die() returns trigger language plpgsql as
      'begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return null; end'`);
    await ours.query(
      `create constraint trigger dies after insert on lost deferrable initially deferred
      for each row execute function die()`,
    );
    await client.query("insert into lost values (1)");
    const atCommit = await client.query("commit").catch((error) => error);
    const alone = await ours.query(dies).catch((error) => error);
    client.release();
    for (const error of [atCommit, alone]) {
      const known = error instanceof CommitOutcomeUnknownError || error.code === "57P01";
      assert(known, String(error));
    }
    assertEquals(await asAdmin("select * from lost"), []);
  });
});

Deno.test("what this layer cannot do is refused with a way out", async () => {
  await withPools(async ({ ours }) => {
    const query = (text: unknown) => ours.query(text as string);
    await assertRejects(() => query({ submit: () => {} }), TypeError, "session.stream()");
    await assertRejects(() => query({}), TypeError, "no text");
    await assertRejects(() => query(undefined), TypeError, "no text");
    for (
      const text of ["listen news", "/* news */ LISTEN news", "select 1; listen news; select 2"]
    ) {
      await assertRejects(() => query(text), TypeError, "notifications");
    }
    assertEquals((await query("select 'listen' as listen")).rows, [{ listen: "listen" }]);
    await assertRejects(() => query("copy (select 1) to stdout"), Error, "COPY");
    const self = { toPostgres: (): unknown => self };
    await assertRejects(() => ours.query("select $1::text", [self]), TypeError, "toPostgres()");
    assertEquals((await ours.query("select 1 as a")).rows, [{ a: 1 }]);
  });
});
