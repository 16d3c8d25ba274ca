/** What an error tells the person who debugs: which statement failed, where in it, and which code ran it. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectError,
  ConnectionLostError,
  type Database,
  DatabaseLayerError,
  DeadlineError,
  ServerError,
  type Session,
  SessionEndedError,
  sql,
  StatementSkippedError,
  trustedSql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver, serverError } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const database = await localDatabase();

const SECRET = "secret";
const FAILING = sql`select ${SECRET}::text, 1 / ${0}::int`;
const FAILING_TEXT = "select $1::text, 1 / $2::int";
const MISSPELT = sql`select '🐘', ${SECRET}::text, nope`;

/** How a statement fails, and the text that the error names. */
const FAILURES: Record<string, [run: (session: Session) => Promise<unknown>, text: string]> = {
  "query": [(session) => session.query(FAILING), FAILING_TEXT],
  "the second query": [async (session) => {
    await session.query(sql`select 1`);
    await session.query(FAILING);
  }, FAILING_TEXT],
  "the first of a batch": [(session) => session.batch([FAILING, sql`select 1`]), FAILING_TEXT],
  "the middle of a batch": [
    (session) => session.batch([sql`select 1`, FAILING, sql`select 2`]),
    FAILING_TEXT,
  ],
  "the last of a batch": [(session) => session.batch([sql`select 1`, FAILING]), FAILING_TEXT],
  "commit([…])": [(session) => session.commit([sql`select 1`, FAILING]), FAILING_TEXT],
  "a savepoint's first statement": [
    (session) => session.savepoint((inner) => inner.query(FAILING)),
    FAILING_TEXT,
  ],
  "a savepoint of its own": [async (session) => {
    await using point = session.savepoint();
    await point.one(FAILING);
  }, FAILING_TEXT],
  "execute": [(session) => session.execute(FAILING, { rowMode: "array" }), FAILING_TEXT],
  "a stream's first portion": [
    (session) => Array.fromAsync(session.stream(FAILING)),
    FAILING_TEXT,
  ],
  "a stream's later portion": [
    (session) =>
      Array.fromAsync(
        session.stream(sql`select 1 / (3 - n) from generate_series(1, ${5}::int) n`, {
          batchSize: 1,
        }),
      ),
    "select 1 / (3 - n) from generate_series(1, $1::int) n",
  ],
  "a constraint that COMMIT checks": [async (session) => {
    await session.query(
      sql`create temporary table late (id int unique deferrable initially deferred)
      on commit drop`,
    );
    await session.query(sql`insert into late values (1), (1)`);
    await session.commit();
  }, "commit"],
};

for (const [what, [run, text]] of Object.entries(FAILURES)) {
  Deno.test(`an error has the text of its statement and no value: ${what}`, async () => {
    await using branch = await database.connect();
    await using session = branch.open().session();
    const error = await assertRejects(() => run(session), ServerError);
    assertEquals(error.statement, text);
    assert(!error.message.includes(text), error.message);
    for (const shown of [Deno.inspect(error), JSON.stringify(error), error.stack!]) {
      assert(!shown.includes(SECRET) && !shown.includes("$2"), shown);
    }
  });
}

Deno.test("an error's position counts the characters of the statement that failed, also in a batch", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  const error = await assertRejects(
    () => session.batch([sql`select 'something longer'`, MISSPELT]),
    ServerError,
  );
  const { statement, position } = error;
  assertEquals([...statement!].slice(Number(position) - 1).join(""), "nope");
});

Deno.test("BEGIN that fails names itself", async () => {
  const driver = new ScriptedDriver({
    reply: ({ text }) => text.startsWith("begin") ? serverError("42501", "no") : undefined,
  });
  await using db = databaseOf(poolOf(driver));
  const error = await assertRejects(() => db.session().query(sql`select 1`), ServerError);
  assertEquals(error.statement, "begin isolation level read committed");
});

Deno.test("a statement that was cancelled is named by the cause of the deadline", async () => {
  await using branch = await database.connect();
  const gaveUp = new AbortController();
  await using session = branch.open().session({ signal: gaveUp.signal });
  await session.query(sql`select 1`);
  const sleeping = assertRejects(() => session.query(sql`select pg_sleep(${57})`), DeadlineError);
  await sleepingOn(branch);
  gaveUp.abort();
  const { cause } = await sleeping;
  assertInstanceOf(cause, ServerError);
  assertEquals([cause.sqlState, cause.statement], ["57014", "select pg_sleep($1)"]);
});

Deno.test("a refused login names no statement", async () => {
  const refusal = serverError("28P01", "password authentication failed", "FATAL");
  const driver = new ScriptedDriver({ onConnect: () => Promise.reject(refusal) });
  await using db = databaseOf(poolOf(driver));
  await assertRejects(() => db.session().query(sql`select 1`), ConnectError);
  assertEquals(refusal.statement, undefined);
});

// The functions below stand for an author's code: the stack must name them.

const CALLS: Record<string, (session: Session) => Promise<unknown>> = {
  "query": async function authorOf_query(session) {
    await session.query(FAILING);
  },
  "batch": async function authorOf_batch(session) {
    await session.batch([sql`select 1`, FAILING]);
  },
  "commit": async function authorOf_commit(session) {
    await session.commit([FAILING]);
  },
  "stream": async function authorOf_stream(session) {
    for await (const _ of session.stream(FAILING));
  },
  "savepoint": async function authorOf_savepoint(session) {
    await session.savepoint(async function authorOf_savepoint(inner) {
      await inner.query(FAILING);
    });
  },
  "execute": async function authorOf_execute(session) {
    await session.execute(FAILING);
  },
  "maybeOne": async function authorOf_maybeOne(session) {
    await session.maybeOne(FAILING);
  },
  "a savepoint's release after a failure": async function authorOf_release(session) {
    await using point = session.savepoint();
    await point.query(FAILING).catch(() => {});
    await point.release();
  },
  "a savepoint that returns after a failure": async function authorOf_swallowing(session) {
    await session.savepoint(async (inner) => {
      await inner.query(FAILING).catch(() => {});
    });
  },
  "a later query": async function authorOf_later(session) {
    await session.query(sql`select 1`);
    await session.query(FAILING);
  },
  "queries side by side": async function authorOf_side(session) {
    await Promise.all([session.query(sql`select 1`), session.query(FAILING)]);
  },
  "a query awaited later": async function authorOf_awaited(session) {
    const running = session.query(FAILING);
    const before = session.hasEnded;
    await running.finally(() => before);
  },
  "a query behind one that failed": async function authorOf_skipped(session) {
    await session.query(FAILING).catch(() => {});
    await session.query(sql`select 1`);
  },
  "a query after the end": async function authorOf_ended(session) {
    await session.rollback();
    await session.query(sql`select 1`);
  },
};

for (const [what, call] of Object.entries(CALLS)) {
  Deno.test(`the stack shows the author's code: ${what}`, async () => {
    await using branch = await database.connect();
    await using session = branch.open().session();
    const error = await assertRejects(() => call(session), DatabaseLayerError);
    assertStackOf(error, call.name);
  });
}

Deno.test("the stack shows the author's code through transaction(), in the last attempt too", async () => {
  await using branch = await database.connect();
  async function authorOf_unit(session: Session): Promise<void> {
    await session.query(sql`do $$ begin raise serialization_failure; end $$`);
  }
  const db = branch.open();
  const error = await assertRejects(() => db.transaction(authorOf_unit), ServerError);
  assertEquals(error.attempts, 4);
  assertStackOf(error, "authorOf_unit");
});

async function author(db: Database, options: { signal?: AbortSignal } = {}): Promise<void> {
  await db.session(options).query(sql`select ${SECRET}::text`);
}

Deno.test("the stack shows the author's code: no connection", async () => {
  const driver = new ScriptedDriver({ onConnect: () => Promise.reject(new Error("refused")) });
  await using db = databaseOf(poolOf(driver));
  assertStackOf(await assertRejects(() => author(db), ConnectError), "author");
});

Deno.test("the stack shows the author's code: the connection was lost", async () => {
  const driver = new ScriptedDriver({
    reply: ({ text }, connection) => {
      if (text.includes("::text")) connection.cut();
      return undefined;
    },
  });
  await using db = databaseOf(poolOf(driver));
  assertStackOf(await assertRejects(() => author(db), ConnectionLostError), "author");
});

Deno.test("the stack shows the author's code: no connection came free", async () => {
  const clock = new ManualClock();
  const pool = poolOf(new ScriptedDriver(), {
    clock,
    size: 1,
    maxOverflow: 0,
    acquireTimeoutMs: 100,
  });
  await using db = databaseOf(pool, { clock });
  await using holder = db.session();
  await holder.query(sql`select 1`);
  const waiting = assertRejects(() => author(db), AcquireTimeoutError);
  await clock.advance(0);
  await clock.advance(100);
  assertStackOf(await waiting, "author");
});

Deno.test("the stack shows the author's code: the caller gave up, or the answer took too long", async () => {
  const clock = new ManualClock();
  const driver = new ScriptedDriver({
    reply: ({ text }, connection) => {
      if (!text.includes("::text")) return undefined;
      const { promise, resolve } = Promise.withResolvers<Error>();
      connection.onCancel = () => resolve(serverError("57014", "canceled"));
      return promise;
    },
  });
  await using db = databaseOf(poolOf(driver, { clock }), { clock });
  const gaveUp = new AbortController();
  const aborted = assertRejects(() => author(db, { signal: gaveUp.signal }), DeadlineError);
  const late = assertRejects(() => author(db), DeadlineError);
  await clock.advance(1);
  gaveUp.abort();
  assertStackOf(await aborted, "author");
  await clock.advance(60_000);
  assertStackOf(await late, "author");
});

Deno.test("an error of the author's own keeps its stack", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  class Own extends TypeError {}
  function deepInside(): never {
    throw new Own("mine");
  }
  const error = await assertRejects(
    () => session.query(sql`select ${{ toJSON: deepInside }}::json`),
    Own,
  );
  assertStringIncludes(error.stack!, "deepInside");
});

Deno.test("the classes that follow from an earlier error show their own caller, and the cause shows its own", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  async function first(): Promise<void> {
    await session.query(FAILING);
  }
  async function second(): Promise<void> {
    await session.query(sql`select 1`);
  }
  await assertRejects(first, ServerError);
  const error = await assertRejects(second, StatementSkippedError);
  assertStackOf(error, "second");
  assertStackOf(error.cause as Error, "first");
  await session.rollback();
  const ended = await assertRejects(second, SessionEndedError);
  assertStackOf(ended, "second");
});

Deno.test("literals in a statement's text are not part of what is printed", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  const text = `create role ${"postgres"} password '${SECRET}'`;
  const error = await assertRejects(() => session.query(trustedSql(text)), ServerError);
  assertEquals(error.statement, text);
  assert(!Deno.inspect(error).includes(SECRET));
  assert(!JSON.stringify(error).includes(SECRET));
});

function assertStackOf(error: Error, name: string): void {
  assert(error.stack!.startsWith(`${error.name}: ${error.message}`), error.stack);
  const frames = error.stack!.split("\n")
    .filter((line) => line.startsWith("    at ") && !line.includes("(ext:"));
  assert(frames.some((frame) => frame.includes(name)), error.stack);
  // The frames of the layer come first, and are few.
  assert(frames.findIndex((frame) => frame.includes(name)) <= 3, error.stack);
}

async function sleepingOn(
  branch: { asAdmin<Row>(text: string): Promise<Row[]> },
): Promise<void> {
  const query = `select 1 from pg_stat_activity
    where query = 'select pg_sleep($1)' and state = 'active' and datname = current_database()`;
  while ((await branch.asAdmin(query)).length === 0);
}
