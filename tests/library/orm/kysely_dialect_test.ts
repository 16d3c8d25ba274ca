/** Kysely's dialect over a database: what of a unit of work is kept, and what it refuses. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AbortedTransactionError, Kysely, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import {
  type Database,
  databaseErrorIn,
  DeadlineError,
  ServerError,
  type TransactionOptions,
} from "../../../src/db/mod.ts";
import { DatabaseDialect } from "../../../src/library/kysely/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { COMMIT, COMMITTED, dropBefore } from "../../support/fault_relay.ts";
import { ormDatabase } from "./orm_database.ts";

interface DB {
  account: { id: number; balance: number };
}

const database = await ormDatabase([
  "create table account (id int primary key, balance int not null)",
]);

const kyselyOf = (db: Database, options?: TransactionOptions) =>
  new Kysely<DB>({ dialect: new DatabaseDialect(db, options) });

/** Runs a test on an empty table, and checks that no connection stays leased. */
function test(
  name: string,
  fn: (on: Kysely<DB>, context: { db: Database; branch: Branch }) => Promise<void>,
  options?: TransactionOptions,
): void {
  Deno.test(`kysely, dialect: ${name}`, () =>
    database.withDatabase(async (db, branch) => {
      await branch.asAdmin("truncate account");
      await fn(kyselyOf(db, options), { db, branch });
      assertEquals(db.stats().leased, 0);
    }));
}

const add = (on: Kysely<DB>, id: number) =>
  on.insertInto("account").values({ id, balance: 0 }).execute();
const ids = async (branch: Branch) =>
  (await branch.asAdmin<{ id: number }>("select id from account order by id")).map(({ id }) => id);
const flightsOf = (db: Database) =>
  db.stats().statementTimes.counts.reduce((sum, each) => sum + each);

test("each query outside a transaction is committed by itself", async (on, { branch }) => {
  await add(on, 1);
  assertEquals(await ids(branch), [1]);
  await assertRejects(() => add(on, 1), ServerError);
  await add(on, 2);
  assertEquals(await ids(branch), [1, 2]);
});

test("insert, update, delete and merge give their numbers", async (on) => {
  const rows = [1, 2, 3].map((id) => ({ id, balance: 0 }));
  const inserted = await on.insertInto("account").values(rows).executeTakeFirst();
  const updated = await on.updateTable("account").set({ balance: 1 }).where("id", ">", 1)
    .executeTakeFirst();
  const merged = await on.mergeInto("account").using("account as a", "a.id", "account.id")
    .whenMatched().thenUpdateSet({ balance: 2 }).executeTakeFirst();
  const deleted = await on.deleteFrom("account").executeTakeFirst();
  assertEquals(
    [
      inserted.numInsertedOrUpdatedRows,
      updated.numUpdatedRows,
      merged?.numChangedRows,
      deleted.numDeletedRows,
    ],
    [3n, 2n, 3n, 3n],
  );
});

test("a write with returning gives its rows and its number", async (on) => {
  const query = on.insertInto("account").values([{ id: 1, balance: 0 }, { id: 2, balance: 0 }])
    .returning("id");
  assertEquals(await on.executeQuery(query), { rows: [{ id: 1 }, { id: 2 }], numAffectedRows: 2n });
});

test("raw sql, with and without rows", async (on) => {
  assertEquals(await sql`select 1 as one`.execute(on), { rows: [{ one: 1 }] });
  const { numAffectedRows } = await sql`insert into account values (1, 1)`.execute(on);
  assertEquals(numAffectedRows, 1n);
});

test(
  "a select and a write with returning take one round trip, another write two",
  async (on, { db }) => {
    await on.selectFrom("account").selectAll().execute();
    const flights = async (query: { execute(): Promise<unknown> }) => {
      const before = flightsOf(db);
      await query.execute();
      return flightsOf(db) - before;
    };
    assertEquals(
      [
        await flights(on.selectFrom("account").selectAll()),
        await flights(on.insertInto("account").values({ id: 1, balance: 0 }).returning("id")),
        await flights(on.insertInto("account").values({ id: 2, balance: 0 })),
      ],
      [1, 1, 2],
    );
  },
);

test(
  "queries outside a transaction run at once, on connections of their own",
  async (on, { db }) => {
    const query = () =>
      sql<{ pid: number }>`select pg_backend_pid() as pid, pg_sleep(0.05)`.execute(on);
    const results = await Promise.all([query(), query(), query()]);
    assertEquals(new Set(results.map(({ rows }) => rows[0]!.pid)).size, 3);
    assertEquals(db.stats().idle, 3);
  },
);

test("transaction() commits", async (on, { branch }) => {
  const result = await on.transaction().execute(async (trx) => {
    await add(trx, 1);
    await add(trx, 2);
    return "done";
  });
  assertEquals([result, await ids(branch)], ["done", [1, 2]]);
});

test("transaction() rolls back if it throws", async (on, { branch }) => {
  const fails = () =>
    on.transaction().execute(async (trx) => {
      await add(trx, 1);
      throw new Error("no");
    });
  await assertRejects(fails, Error, "no");
  assertEquals(await ids(branch), []);
});

test("transaction() rolls back after a failed statement", async (on, { branch }) => {
  const fails = () =>
    on.transaction().execute(async (trx) => {
      await add(trx, 1);
      await add(trx, 1);
    });
  await assertRejects(fails, ServerError);
  assertEquals(await ids(branch), []);
});

test(
  "transaction() that hides a failed statement is AbortedTransactionError",
  async (on, { branch }) => {
    const hides = () =>
      on.transaction().execute(async (trx) => {
        await add(trx, 1);
        await add(trx, 1).catch(() => {});
      });
    const error = await assertRejects(hides, AbortedTransactionError);
    assertEquals((databaseErrorIn(error) as ServerError).sqlState, "23505");
    assertEquals(await ids(branch), []);
  },
);

test("an empty transaction() is fine", async (on) => {
  assertEquals(await on.transaction().execute(() => Promise.resolve(1)), 1);
});

test("transaction() is one connection, apart from the others", async (on, { branch }) => {
  await on.transaction().execute(async (trx) => {
    await add(trx, 1);
    assertEquals(await on.selectFrom("account").selectAll().execute(), []);
    assertEquals((await trx.selectFrom("account").selectAll().execute()).length, 1);
  });
  assertEquals(await ids(branch), [1]);
});

for (
  const [level, shown] of [
    ["read uncommitted", "read committed"],
    ["read committed", "read committed"],
    ["repeatable read", "repeatable read"],
    ["serializable", "serializable"],
  ] as const
) {
  test(`isolation level ${level}`, async (on) => {
    const { rows } = await on.transaction().setIsolationLevel(level).execute((trx) =>
      sql<{ level: string }>`select current_setting('transaction_isolation') as level`.execute(trx)
    );
    assertEquals(rows, [{ level: shown }]);
  });
}

test("isolation level snapshot is refused", async (on) => {
  const refused = () =>
    on.transaction().setIsolationLevel("snapshot").execute(() => Promise.resolve());
  await assertRejects(refused, TypeError, "current value is snapshot");
});

test("access mode read only refuses a write", async (on) => {
  const refused = () => on.transaction().setAccessMode("read only").execute((trx) => add(trx, 1));
  const error = await assertRejects(refused, ServerError);
  assertEquals(error.sqlState, "25006");
});

test("the options hold for queries and for transactions", async (on) => {
  const settings = sql<{ user: string; timeout: string }>`
    select current_setting('app.user') as user, current_setting('statement_timeout') as timeout`;
  const wanted = [{ user: "ann", timeout: "2s" }];
  assertEquals((await settings.execute(on)).rows, wanted);
  await on.transaction().execute(async (trx) =>
    assertEquals((await settings.execute(trx)).rows, wanted)
  );
}, { locals: { "app.user": "ann" }, statementTimeoutMs: 2_000 });

test("startTransaction() with savepoints, and commit()", async (on, { branch }) => {
  const trx = await on.startTransaction().execute();
  await add(trx, 1);
  const point = await trx.savepoint("a").execute();
  await add(point, 2);
  await point.rollbackToSavepoint("a").execute();
  await add(point, 3);
  await point.releaseSavepoint("a").execute();
  const open = await trx.savepoint("b").execute();
  await add(open, 4);
  await trx.commit().execute();
  assertEquals(await ids(branch), [1, 3, 4]);
});

test("startTransaction() and rollback(), with a savepoint open", async (on, { branch }) => {
  const trx = await on.startTransaction().execute();
  await add(trx, 1);
  await add(await trx.savepoint("a").execute(), 2);
  await trx.rollback().execute();
  assertEquals(await ids(branch), []);
});

test("startTransaction(): a commit after a failed statement gives the connection back", async (on) => {
  const trx = await on.startTransaction().execute();
  await sql`select 1 / 0`.execute(trx).catch(() => {});
  await assertRejects(() => trx.commit().execute(), AbortedTransactionError);
  assertEquals(trx.isRolledBack, true);
});

test("startTransaction() holds one connection until its end", async (on, { db }) => {
  const trx = await on.startTransaction().execute();
  await add(trx, 1);
  assertEquals(db.stats().leased, 1);
  await trx.rollback().execute();
  assertEquals(db.stats().leased, 0);
});

test("a query outside a transaction is retried", async (on, { branch }) => {
  await branch.asAdmin(
    `create or replace function fails_once() returns int language plpgsql as $$ begin
    if nextval('runs') = 1 then raise exception using errcode = '40001'; end if; return 1; end $$`,
  );
  await branch.asAdmin("create sequence runs");
  await branch.asAdmin("grant all on sequence runs to public");
  const { rows } = await sql<{ n: number }>`select fails_once() as n`.execute(on);
  assertEquals(rows, [{ n: 1 }]);
  await branch.asAdmin("drop sequence runs");
});

test("a transaction() of Kysely is not retried", async (on) => {
  let runs = 0;
  const fails = () =>
    on.transaction().execute(async (trx) => {
      runs++;
      await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(trx);
    });
  await assertRejects(fails, ServerError);
  assertEquals(runs, 1);
});

for (const [what, point] of [["answer to", COMMITTED], ["", COMMIT]] as const) {
  Deno.test(`kysely, dialect: a lost ${what} COMMIT of a query is looked up`, async () => {
    await using branch = await database.faulty();
    const db = branch.open(branch.envOf("user_service_owner"));
    await branch.asAdmin("truncate account");
    const armed = branch.relay.when(point, dropBefore());
    await add(kyselyOf(db), 1);
    assertEquals([armed.strikes, await ids(branch)], [1, [1]]);
  });
}

Deno.test("kysely, dialect: a lost answer to the COMMIT of a transaction() is looked up", async () => {
  await using branch = await database.faulty();
  const db = branch.open(branch.envOf("user_service_owner"));
  await branch.asAdmin("truncate account");
  const armed = branch.relay.when(COMMITTED, dropBefore());
  await kyselyOf(db).transaction().execute((trx) => add(trx, 1));
  assertEquals([armed.strikes, await ids(branch)], [1, [1]]);
});

test("a stream outside a transaction commits at its end", async (on, { branch }) => {
  const rows = on.insertInto("account").values([1, 2, 3].map((id) => ({ id, balance: 0 })))
    .returning("id").stream(2);
  assertEquals((await Array.fromAsync(rows)).length, 3);
  assertEquals(await ids(branch), [1, 2, 3]);
});

test("a stream that is left early gives its connection back", async (on, { branch }) => {
  await branch.asAdmin("insert into account select n, 0 from generate_series(1, 10) n");
  for await (const { id } of on.selectFrom("account").select("id").stream(2)) {
    if (id === 3) break;
  }
  assertEquals((await on.selectFrom("account").selectAll().execute()).length, 10);
});

test("a stream inside a transaction", async (on) => {
  const rows = await on.transaction().execute(async (trx) => {
    await add(trx, 1);
    return await Array.fromAsync(trx.selectFrom("account").select("id").stream(1));
  });
  assertEquals(rows, [{ id: 1 }]);
});

test("connection(): each query is a unit, and transaction() a session", async (on, { branch }) => {
  await on.connection().execute(async (one) => {
    await add(one, 1);
    await assertRejects(
      () =>
        one.transaction().execute(async (trx) => {
          await add(trx, 2);
          throw new Error("no");
        }),
      Error,
      "no",
    );
    await add(one, 3);
  });
  assertEquals(await ids(branch), [1, 3]);
});

test("a statement that refuses a transaction is refused", async (on) => {
  const error = await assertRejects(() => sql`vacuum account`.execute(on), ServerError);
  assertEquals(error.sqlState, "25001");
});

test("a signal with 'cancel query' stops a query on the server", async (on, { branch }) => {
  const gaveUp = new AbortController();
  const query = sql`select pg_sleep(30) as kysely_sleep`.compile(on);
  const running = on.executeQuery(query, {
    signal: gaveUp.signal,
    inflightQueryAbortStrategy: "cancel query",
  });
  const sleeping = () =>
    branch.asAdmin(
      "select from pg_stat_activity where query like '%kysely_sleep%' and wait_event = 'PgSleep'",
    );
  while ((await sleeping()).length === 0);
  gaveUp.abort(new RangeError("gave up"));
  await assertRejects(() => running, RangeError, "gave up");
  while ((await sleeping()).length > 0);
  assertEquals((await sql`select 1 as one`.execute(on)).rows, [{ one: 1 }]);
});

const abortedAlready = AbortSignal.abort();
test("the signal of the options ends every query", async (on) => {
  await assertRejects(() => add(on, 1), DeadlineError);
}, { signal: abortedAlready });

test("destroy() does not close the database", async (on, { db }) => {
  await add(on, 1);
  await on.destroy();
  await assertRejects(() => add(on, 2), Error, "destroyed");
  await add(kyselyOf(db), 3);
});

test("introspection", async (on) => {
  const tables = await on.introspection.getTables();
  const account = tables.find(({ name }) => name === "account");
  assertEquals(
    account?.columns.map(({ name, dataType, isNullable }) => [name, dataType, isNullable]),
    [
      ["id", "int4", false],
      ["balance", "int4", false],
    ],
  );
});

const migratorOf = (on: Kysely<DB>) => {
  const migrations: Record<string, Migration> = {
    "1_create": { up: (on) => on.schema.createTable("made").addColumn("id", "integer").execute() },
  };
  const provider = { getMigrations: () => Promise.resolve(migrations) };
  return new Migrator({ db: on, provider });
};

test("migrations in a transaction of Kysely", async (on, { branch }) => {
  const run = () => on.transaction().execute((trx) => migratorOf(trx).migrateToLatest());
  const [first, second] = [await run(), await run()];
  assertEquals([first.error, first.results?.length], [undefined, 1]);
  assertEquals([second.error, second.results], [undefined, []]);
  await branch.asAdmin("drop table made, kysely_migration, kysely_migration_lock");
});

test("migrations outside a transaction are refused, with the way out", async (on, { branch }) => {
  const { error, results } = await migratorOf(on).migrateToLatest();
  assert(error instanceof Error && error.message.includes("give it the `trx`"));
  assertEquals(results, undefined);
  assertEquals(await branch.asAdmin("select to_regclass('made') as made"), [{ made: null }]);
  await branch.asAdmin("drop table kysely_migration, kysely_migration_lock");
});
