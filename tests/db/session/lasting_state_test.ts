/** A connection on which a unit has left state is closed, and one that is as it was before is used again. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { type Database, type Session, sql, trustedSql } from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();
{
  await using branch = await database.connect();
  await branch.asAdmin("create table readings (temp int, temporary int)");
}

/** Asks the next unit for its backend, and for all that a transaction cannot have left by itself. */
const STATE = sql<{ pid: number; left: string[] }>`
  select pg_backend_pid() as pid, array(
    select 'setting ' || name from pg_settings where source = 'session'
      and setting <> reset_val and not (name = any(${[
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
]}))
    union all select 'role' where current_user <> 'postgres' or session_user <> 'postgres'
    union all select 'prepared statement ' || name from pg_prepared_statements
      where name not like 'edge\\_%' -- the layer's own
    union all select 'cursor ' || name from pg_cursors where is_holdable
    union all select 'channel ' || channel from pg_listening_channels() as channel
    union all select 'temporary ' || relname from pg_class where relnamespace = pg_my_temp_schema()
      and relkind in ('r', 'v', 'S')
  ) as left`;

/** One connection, as a role that may do all of this. */
async function withDatabase(work: (db: Database) => Promise<void>): Promise<void> {
  await using branch = await database.connect();
  const env = branch.envOf("postgres");
  await work(branch.open({ ...env, DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" }));
}

async function stateOf(db: Database): Promise<{ pid: number; left: string[] }> {
  const [[row]] = await db.session().commit([STATE]);
  return row!;
}

type Run = (session: Session) => Promise<unknown>;

/** Runs the unit between two others. Returns whether the connection was used again after it. */
async function isReused(db: Database, unit: Run): Promise<boolean> {
  const before = await stateOf(db);
  await db.transaction(unit);
  const after = await stateOf(db);
  assertEquals(after.left, []);
  return after.pid === before.pid;
}

const LASTING: readonly string[] = [
  "set role user_service",
  "SET SESSION ROLE user_service",
  "set search_path = pg_catalog",
  "set time zone 'Asia/Kolkata'",
  "set statement_timeout to 1",
  "set app.tenant = 'Ann'",
  "set local.tenant = 'Ann'",
  ";set search_path = pg_catalog",
  "set transaction.id to 'x'",
  "set session characteristics as transaction read only",
  "set session authorization user_service",
  "/* set local */ -- set local\n Set /* local */ Search_Path = public",
  "/* a /* nested */ comment */ set work_mem = '1MB'",
  "set /* local */ application_name = 'set local'",
  "listen events",
  'LISTEN "set local"',
  "prepare reading as select 1",
  "declare c cursor with hold for select 1",
  "DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR /* for */ WITH/**/HOLD FOR select 1",
  "create temp table left_over ()",
  "create temp table if not exists left_over (drops text default 'on commit drop')",
  "create temp table left_over () on commit delete rows",
  "create/* a */LOCAL Temporary table left_over () -- on commit drop",
  'create temporary table left_over ("on commit drop" text, text text default $$ on commit drop $$)',
  "create temp table left_over (text text default e'\\' on commit drop \\'')",
  "create temp table left_over as select 1 as one /* a /* nested */ on commit drop */",
  "create global temp table left_over as select 1 as one where false",
  "create table pg_temp.left_over ()",
  'create table "pg_temp".left_over as select 1 as one',
  "create /* 1 /* 2 /* 3 /* 4 /* 5 */ */ */ */ */ temp table left_over ()",
  "create or replace temp view left_over as select 1 as one",
  "create temp sequence left_over",
  "select 1 as one into temp left_over",
  "select 1 as one into/* */temporary table left_over where false",
  "select 1 as one into local temp left_over from readings",
  "select 1 as one into pg_temp.left_over",
  "with one as (select 1 as one) select * into temp table left_over from one",
  "explain analyze create temp table left_over as select 1 as one",
  "explain (analyze) select 1 as one into temporary left_over",
  "load 'auto_explain'",
];

const PASSING: readonly string[] = [
  "set local search_path = pg_catalog",
  "SET\n/* session */LOCAL role user_service",
  "-- set role\nset local session authorization user_service",
  "; set local search_path = pg_catalog",
  "set transaction isolation level read committed",
  "set constraints all deferred",
  "reset search_path",
  "reset role",
  "discard plans",
  "deallocate all",
  "unlisten *",
  "notify events",
  "select set_config('app.tenant', 'Ann', true)",
  "select pg_advisory_xact_lock(7)",
  "declare c cursor for select 1",
  "declare c cursor without hold for select 'with hold'",
  "create temp table left_over () on commit drop",
  "create temp table left_over on commit /* a */ DROP as select 1 as one",
  "create temporary table left_over (one int default 1) -- a comment\n on commit drop",
  "create table kept (temp int)",
  "select temp, temporary from readings where temp > 0",
  "select 'into temp' from readings",
  "select 1 as into_temp from readings",
  "create table temp (kept int)",
  "with one as (insert into temp values (1) returning kept) select * from one where false",
  "drop table temp",
  "select 1",
  "insert into readings (temp) select 1 where false",
  "explain select temp from readings",
];

const WAYS: readonly (readonly [name: string, run: (text: string) => Run])[] = [
  ["query()", (text) => async (session) => {
    await session.query(trustedSql(text));
    await session.query(sql`select 1`);
    await session.commit();
  }],
  ["commit([...])", (text) => (session) => session.commit([trustedSql(text), sql`select 1`])],
];

const drop = "drop table if exists kept";

for (const [way, run] of WAYS) {
  Deno.test(`a connection is not used again after state that outlives a commit, by ${way}`, () =>
    withDatabase(async (db) => {
      for (const text of LASTING) {
        assert(!await isReused(db, run(text)), text);
      }
      assertEquals(db.stats().counters.leftState, LASTING.length);
      assertEquals(db.stats().counters.destroyed, 0);
    }));

  Deno.test(`a connection is used again after what ends with the transaction, by ${way}`, () =>
    withDatabase(async (db) => {
      for (const text of PASSING) {
        assert(await isReused(db, run(text)), text);
        await db.session().commit([trustedSql(drop)]);
      }
      assertEquals(db.stats().counters.leftState, 0);
    }));
}

/** What a rollback does not undo. */
const OUTLIVES_ROLLBACK = /^(prepare|load)/;

Deno.test("after a rollback, a connection is used again unless the state outlives that too", () =>
  withDatabase(async (db) => {
    for (const text of LASTING) {
      const reused = await isReused(db, async (session) => {
        await session.query(trustedSql(text));
        await session.rollback();
      });
      assertEquals(reused, !OUTLIVES_ROLLBACK.test(text), text);
    }
  }));

Deno.test("a unit that fails behind a PREPARE in the same flight leaves it, and the connection is closed", () =>
  withDatabase(async (db) => {
    const { pid } = await stateOf(db);
    for (const fails of [sql`select 1 / 0`, sql`commit and chain`]) {
      await assertRejects(() =>
        db.transaction((session) => session.commit([sql`prepare left_over as select 1`, fails]))
      );
      const after = await stateOf(db);
      assertEquals(after.left, []);
      assertNotEquals(after.pid, pid);
    }
  }));

const set = sql`set search_path = pg_catalog`;
const prepare = sql`prepare left_over as select 1`;

const UNITS: readonly (readonly [what: string, reused: boolean, run: Run])[] = [
  ["a batch", false, async (session) => {
    await session.batch([sql`select 1`, set]);
    await session.commit();
  }],
  ["a stream", false, async (session) => {
    for await (const _ of session.stream(set));
    await session.commit();
  }],
  ["a savepoint", false, async (session) => {
    await session.savepoint((inner) => inner.query(set));
    await session.commit();
  }],
  ["a savepoint that was rolled back", true, async (session) => {
    await session.savepoint(async (inner) => {
      await inner.query(set);
      await inner.rollback();
    });
    await session.commit();
  }],
  ["a savepoint that was rolled back behind another SET", false, async (session) => {
    await session.query(set);
    await session.savepoint(async (inner) => {
      await inner.query(sql`listen events`);
      await inner.rollback();
    });
    await session.commit();
  }],
  ["a PREPARE in a savepoint that was rolled back", false, async (session) => {
    await session.savepoint(async (inner) => {
      await inner.query(prepare);
      await inner.rollback();
    });
    await session.commit();
  }],
  ["a session that was left without an end", true, async (session) => {
    await session.query(set);
    await session.rollback();
  }],
  ["a COMMIT in a statement's text", false, async (session) => {
    await session.batch([set, sql`commit`]).catch(() => {});
  }],
  ["a ROLLBACK in a statement's text, and SET outside the transaction", false, async (session) => {
    await session.batch([sql`rollback`, set]).catch(() => {});
  }],
  ["a COMMIT in a statement's text behind a SET", false, async (session) => {
    await session.query(set);
    await session.query(sql`commit`).catch(() => {});
  }],
];

for (const [what, reused, run] of UNITS) {
  Deno.test(`the connection is ${reused ? "used again" : "closed"} after ${what}`, () =>
    withDatabase(async (db) => {
      assertEquals(await isReused(db, run), reused);
    }));
}
