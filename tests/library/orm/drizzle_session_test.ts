/** Drizzle in units of work: retry, commit, hooks, savepoints, lost COMMITs. All of these stay the session's. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { DrizzleQueryError, eq, sql, TransactionRollbackError } from "drizzle-orm";
import { integer, PgDialect, pgTable, text } from "drizzle-orm/pg-core";
import {
  CommitOutcomeUnknownError,
  type Database,
  databaseErrorIn,
  DeadlineError,
  type ServerError,
  type Session,
  SessionEndedError,
  SessionNotCommittedError,
  StatementSkippedError,
  trustedSql,
} from "../../../src/db/mod.ts";
import { drizzleOn } from "../../../src/library/drizzle/mod.ts";
import type { Branch } from "../../support/branch.ts";
import {
  COMMIT,
  COMMIT_EXECUTE,
  COMMITTED,
  dropAfter,
  dropBefore,
} from "../../support/fault_relay.ts";
import { ormDatabase } from "./orm_database.ts";

const accounts = pgTable("accounts", {
  id: integer().primaryKey(),
  owner: text().notNull(),
  balance: integer().notNull(),
});
const database = await ormDatabase([
  "create table accounts (id int primary key, owner text not null, balance int not null)",
]);

/** Runs a test on an empty table. */
function test(name: string, fn: (db: Database, branch: Branch) => Promise<void>): void {
  Deno.test(`drizzle, session: ${name}`, () =>
    database.withDatabase(async (db, branch) => {
      await branch.asAdmin("truncate accounts");
      await fn(db, branch);
    }));
}

const account = (id: number, balance = 0) => ({ id, owner: `owner ${id}`, balance });
const ids = async (branch: Branch) =>
  (await branch.asAdmin<{ id: number }>("select id from accounts order by id")).map(({ id }) => id);

test("what is committed stays", async (db, branch) => {
  await db.transaction(async (session) => {
    await drizzleOn(session).insert(accounts).values(account(1));
    await session.commit();
  });
  assertEquals(await ids(branch), [1]);
});

test("a write without commit() is SessionNotCommittedError", async (db, branch) => {
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        await drizzleOn(session).insert(accounts).values(account(1));
      }),
    SessionNotCommittedError,
  );
  assertEquals(await ids(branch), []);
});

test("an error of the work rolls back", async (db, branch) => {
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        await drizzleOn(session).insert(accounts).values(account(1));
        throw new Error("no");
      }),
    Error,
    "no",
  );
  assertEquals(await ids(branch), []);
});

test("afterCommit runs after the commit, and not after a rollback", async (db) => {
  const told: string[] = [];
  await db.transaction(async (session) => {
    session.afterCommit(() => void told.push("committed"));
    await drizzleOn(session).insert(accounts).values(account(1));
    assertEquals(told, []);
    await session.commit();
  });
  await db.transaction(async (session) => {
    session.afterCommit(() => void told.push("rolled back"));
    await drizzleOn(session).insert(accounts).values(account(2));
    await session.rollback();
  });
  assertEquals(told, ["committed"]);
});

test("a serialization failure inside a query is retried", async (db, branch) => {
  await branch.asAdmin("insert into accounts values (1, 'a', 0)");
  let runs = 0;
  await db.transaction(async (session) => {
    const tx = drizzleOn(session);
    const [row] = await tx.select().from(accounts).where(eq(accounts.id, 1));
    if (++runs === 1) await branch.asAdmin("update accounts set balance = 10 where id = 1");
    await tx.update(accounts).set({ balance: row!.balance + 1 }).where(eq(accounts.id, 1));
    await session.commit();
  }, { isolation: "repeatable read" });
  assertEquals(runs, 2);
  assertEquals(await branch.asAdmin("select balance from accounts"), [{ balance: 11 }]);
});

for (const depth of [1, 2, 3]) {
  test(`a serialization failure ${depth} transaction() deep is retried`, async (db, branch) => {
    await branch.asAdmin("insert into accounts values (1, 'a', 0)");
    let runs = 0;
    await db.transaction(async (session) => {
      const outer = drizzleOn(session);
      const [row] = await outer.select().from(accounts).where(eq(accounts.id, 1));
      if (++runs === 1) await branch.asAdmin("update accounts set balance = 10 where id = 1");
      const set = async (
        tx: Pick<typeof outer, "transaction" | "update">,
        left: number,
      ): Promise<void> => {
        if (left > 0) await tx.transaction((inner) => set(inner, left - 1));
        else await tx.update(accounts).set({ balance: row!.balance + 1 });
      };
      await set(outer, depth);
      await session.commit();
    }, { isolation: "repeatable read" });
    assertEquals(runs, 2);
    assertEquals(await branch.asAdmin("select balance from accounts"), [{ balance: 11 }]);
  });
}

test(
  "a serialization failure that the work hides until its transaction() ends is retried",
  async (db, branch) => {
    await branch.asAdmin("insert into accounts values (1, 'a', 0)");
    let runs = 0;
    await db.transaction(async (session) => {
      const outer = drizzleOn(session);
      await outer.select().from(accounts);
      if (++runs === 1) await branch.asAdmin("update accounts set balance = 10");
      await outer.transaction(async (tx) => {
        await tx.update(accounts).set({ balance: 1 }).catch(() => {});
      });
      await session.commit();
    }, { isolation: "repeatable read" });
    assertEquals(runs, 2);
  },
);

test("a serialization failure that the work has handled is not retried", async (db, branch) => {
  await branch.asAdmin("insert into accounts values (1, 'a', 0)");
  let runs = 0;
  await db.transaction(async (session) => {
    const outer = drizzleOn(session);
    await outer.select().from(accounts);
    if (++runs === 1) await branch.asAdmin("update accounts set balance = 10");
    const failed = await outer.transaction((tx) => tx.update(accounts).set({ balance: 1 }))
      .catch((error) => error);
    assertEquals((databaseErrorIn(failed) as ServerError).sqlState, "40001");
    await outer.insert(accounts).values(account(2));
    await session.commit();
  }, { isolation: "repeatable read" });
  assertEquals([runs, await ids(branch)], [1, [1, 2]]);
});

test("attempts that are used up give the last DrizzleQueryError, with their number", async (db) => {
  let runs = 0;
  const error = await assertRejects(
    () =>
      db.transaction(async (session) => {
        runs++;
        await drizzleOn(session).execute(
          sql`do $$ begin raise exception using errcode = '40001'; end $$`,
        );
      }, { attempts: 2 }),
    DrizzleQueryError,
  );
  assertEquals(runs, 2);
  assertEquals((error as DrizzleQueryError & { attempts?: number }).attempts, 2);
});

test("a unique violation is not retried", async (db) => {
  let runs = 0;
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      await drizzleOn(session).insert(accounts).values([account(1), account(1)]);
    }), DrizzleQueryError);
  assertEquals([runs, (error.cause as ServerError).sqlState], [1, "23505"]);
});

test("a terminated backend before COMMIT costs one run", async (db, branch) => {
  let runs = 0;
  await db.transaction(async (session) => {
    const tx = drizzleOn(session);
    await tx.insert(accounts).values(account(1));
    if (++runs === 1) {
      const { rows: [row] } = await tx.execute<{ pid: number }>(
        sql`select pg_backend_pid() as pid`,
      );
      await branch.asAdmin(`select pg_terminate_backend(${row!.pid})`);
    }
    await tx.insert(accounts).values(account(2));
    await session.commit();
  });
  assertEquals([runs, await ids(branch)], [2, [1, 2]]);
});

Deno.test("drizzle, session: a lost answer to COMMIT is looked up, and the unit succeeds once", async () => {
  await using branch = await database.faulty();
  const db = branch.open(branch.envOf("user_service_owner"));
  await branch.asAdmin("truncate accounts");
  const armed = branch.relay.when(COMMITTED, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await drizzleOn(session).insert(accounts).values(account(1));
    await session.commit();
  });
  assertEquals([runs, armed.strikes, await ids(branch)], [1, 1, [1]]);
});

Deno.test("drizzle, session: a COMMIT that the server never got is run again", async () => {
  await using branch = await database.faulty();
  const db = branch.open(branch.envOf("user_service_owner"));
  await branch.asAdmin("truncate accounts");
  const armed = branch.relay.when(COMMIT, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await drizzleOn(session).insert(accounts).values(account(1));
    await session.commit();
  });
  assertEquals([runs, armed.strikes, await ids(branch)], [2, 1, [1]]);
});

Deno.test("drizzle, session: a query in COMMIT's own flight, whose outcome cannot be known, runs once", async () => {
  await using branch = await database.faulty();
  const db = branch.open(branch.envOf("user_service_owner"));
  await branch.asAdmin("truncate accounts");
  branch.relay.when(COMMIT_EXECUTE, dropAfter());
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      const insert = drizzleOn(session).insert(accounts).values(account(9)).toSQL();
      await session.commit([trustedSql(insert.sql, insert.params)]);
    }), CommitOutcomeUnknownError);
  assertEquals(runs, 1);
});

test("transaction() keeps its work, and returns its result", async (db, branch) => {
  await db.transaction(async (session) => {
    const outer = drizzleOn(session);
    const rows = await outer.transaction((tx) =>
      tx.insert(accounts).values(account(1)).returning({ id: accounts.id })
    );
    assertEquals(rows, [{ id: 1 }]);
    await session.commit();
  });
  assertEquals(await ids(branch), [1]);
});

test("transaction() undoes its work if it throws, and the unit goes on", async (db, branch) => {
  await db.transaction(async (session) => {
    const outer = drizzleOn(session);
    await outer.insert(accounts).values(account(1));
    await assertRejects(
      () =>
        outer.transaction(async (tx) => {
          await tx.insert(accounts).values(account(2));
          throw new Error("no");
        }),
      Error,
      "no",
    );
    await outer.insert(accounts).values(account(3));
    await session.commit();
  });
  assertEquals(await ids(branch), [1, 3]);
});

test("transaction() undoes a failed statement, and the unit goes on", async (db, branch) => {
  await db.transaction(async (session) => {
    const outer = drizzleOn(session);
    await outer.insert(accounts).values(account(1));
    const duplicate = () => outer.transaction((tx) => tx.insert(accounts).values(account(1)));
    await assertRejects(duplicate, DrizzleQueryError);
    await outer.insert(accounts).values(account(2));
    await session.commit();
  });
  assertEquals(await ids(branch), [1, 2]);
});

test(
  "tx.rollback() throws TransactionRollbackError and undoes the savepoint only",
  async (db, branch) => {
    await db.transaction(async (session) => {
      const outer = drizzleOn(session);
      await outer.insert(accounts).values(account(1));
      await assertRejects(
        () =>
          outer.transaction(async (tx) => {
            await tx.insert(accounts).values(account(2));
            tx.rollback();
          }),
        TransactionRollbackError,
      );
      await session.commit();
    });
    assertEquals(await ids(branch), [1]);
  },
);

test("nested transaction(): an inner one is undone, the outer one kept", async (db, branch) => {
  await db.transaction(async (session) => {
    await drizzleOn(session).transaction(async (tx) => {
      await tx.insert(accounts).values(account(1));
      await tx.transaction(async (inner) => {
        await inner.insert(accounts).values(account(2));
        inner.rollback();
      }).catch((error) => assert(error instanceof TransactionRollbackError));
      await tx.transaction(async (inner) => {
        await inner.insert(accounts).values(account(3));
        await inner.transaction((innermost) => innermost.insert(accounts).values(account(4)));
      });
    });
    await session.commit();
  });
  assertEquals(await ids(branch), [1, 3, 4]);
});

test("nested transaction(): the outer one is undone with its inner ones", async (db, branch) => {
  await db.transaction(async (session) => {
    await drizzleOn(session).transaction(async (tx) => {
      await tx.transaction((inner) => inner.insert(accounts).values(account(1)));
      tx.rollback();
    }).catch(() => {});
    await drizzleOn(session).insert(accounts).values(account(2));
    await session.commit();
  });
  assertEquals(await ids(branch), [2]);
});

test("relational queries and $count work inside transaction()", async (db) => {
  await using session = db.session();
  await drizzleOn(session, { schema: { accounts } }).transaction(async (tx) => {
    await tx.insert(accounts).values([account(1), account(2)]);
    assertEquals(await tx.query.accounts.findFirst({ columns: { id: true } }), { id: 1 });
    assertEquals(await tx.$count(accounts), 2);
  });
});

test("the database outside is refused while transaction() runs", async (db, branch) => {
  await db.transaction(async (session) => {
    const outer = drizzleOn(session);
    await outer.transaction(async (tx) => {
      const error = await assertRejects(() => outer.select().from(accounts), DrizzleQueryError);
      assert(error.cause instanceof SessionEndedError);
      await tx.insert(accounts).values(account(1));
    });
    await session.commit();
  });
  assertEquals(await ids(branch), [1]);
});

test("two transaction() side by side are refused", async (db) => {
  await using session = db.session();
  const outer = drizzleOn(session);
  const [first, second] = await Promise.allSettled(
    [1, 2].map((id) => outer.transaction((tx) => tx.insert(accounts).values(account(id)))),
  );
  assertEquals(first!.status, "fulfilled");
  assert(second?.status === "rejected" && second.reason instanceof SessionEndedError);
});

test(
  "transaction() that hides a failed statement is an error, and is undone",
  async (db, branch) => {
    await db.transaction(async (session) => {
      const outer = drizzleOn(session);
      await assertRejects(
        () =>
          outer.transaction(async (tx) => {
            await tx.insert(accounts).values(account(1));
            await tx.insert(accounts).values(account(1)).catch(() => {});
          }),
        StatementSkippedError,
      );
      await outer.insert(accounts).values(account(2));
      await session.commit();
    });
    assertEquals(await ids(branch), [2]);
  },
);

test(
  "transaction() of another library's level: session.savepoint and Drizzle nest",
  async (db, branch) => {
    await db.transaction(async (session) => {
      await session.savepoint(async (point) => {
        await drizzleOn(point).transaction((tx) => tx.insert(accounts).values(account(1)));
      });
      await session.commit();
    });
    assertEquals(await ids(branch), [1]);
  },
);

test("after a savepoint's end its database is refused", async (db) => {
  await using session = db.session();
  let kept: ReturnType<typeof drizzleOn> | undefined;
  await session.savepoint((point) => void (kept = drizzleOn(point)));
  const error = await assertRejects(() => kept!.select().from(accounts), DrizzleQueryError);
  assert(error.cause instanceof SessionEndedError);
});

test("after commit() the database is refused", async (db) => {
  await db.transaction(async (session) => {
    const tx = drizzleOn(session);
    await tx.insert(accounts).values(account(1));
    await session.commit();
    const error = await assertRejects(() => tx.select().from(accounts), DrizzleQueryError);
    assert(error.cause instanceof SessionEndedError);
  });
});

test("transaction() takes the settings that the session has", async (db) => {
  await using session = db.session({ isolation: "serializable", readOnly: true, deferrable: true });
  const result = await drizzleOn(session).transaction((tx) => tx.select().from(accounts), {
    isolationLevel: "serializable",
    accessMode: "read only",
    deferrable: true,
  });
  assertEquals(result, []);
});

test("transaction() takes read uncommitted for read committed, as PostgreSQL does", async (db) => {
  await using session = db.session({ readOnly: false });
  const work = () => Promise.resolve(1);
  const config = { isolationLevel: "read uncommitted", accessMode: "read write" } as const;
  assertEquals(await drizzleOn(session).transaction(work, config), 1);
});

for (
  const [config, name] of [
    [{ isolationLevel: "serializable" }, 'pass { isolation: "serializable" }'],
    [{ accessMode: "read only" }, "pass { readOnly: true }"],
    [{ accessMode: "read write" }, "where readOnly is not set; pass { readOnly: false }"],
    [{ deferrable: true }, "pass { deferrable: true }"],
  ] as const
) {
  test(`transaction() refuses ${JSON.stringify(config)} in another session`, async (db) => {
    await using session = db.session();
    const refused = () => drizzleOn(session).transaction(() => Promise.resolve(), config);
    await assertRejects(refused, TypeError, name);
    assertEquals(await drizzleOn(session).$count(accounts), 0);
  });
}

test("a read-only session refuses a write, and keeps Drizzle's error", async (db) => {
  await using session = db.session({ readOnly: true });
  const error = await assertRejects(
    () => drizzleOn(session).insert(accounts).values(account(1)),
    DrizzleQueryError,
  );
  assertEquals((error.cause as ServerError).sqlState, "25006");
});

test("setTransaction() before the first statement", async (db) => {
  await using session = db.session();
  await drizzleOn(session).transaction(async (tx) => {
    await tx.setTransaction({ accessMode: "read only" });
    await assertRejects(() => tx.insert(accounts).values(account(1)), DrizzleQueryError);
    tx.rollback();
  }).catch((error) => assert(error instanceof TransactionRollbackError));
});

test("queries that run at once on one session do not mix", async (db) => {
  await using session = db.session();
  const tx = drizzleOn(session);
  const rows = await Promise.all(
    Array.from(
      { length: 50 },
      (_, n) => tx.select({ n: sql<number>`${n}::int` }).from(sql`(select 1) x`),
    ),
  );
  assertEquals(rows.map(([row]) => row!.n), Array.from({ length: 50 }, (_, n) => n));
});

test("a failed query fails those behind it, with its cause", async (db) => {
  await using session = db.session();
  const tx = drizzleOn(session);
  const [failed, skipped] = await Promise.allSettled([
    tx.execute(sql`select 1 / 0`),
    tx.select().from(accounts),
  ]);
  assert(failed.status === "rejected" && skipped.status === "rejected");
  assert(skipped.reason.cause instanceof StatementSkippedError);
  assertEquals(databaseErrorIn(skipped.reason), failed.reason.cause);
});

test("an abort stops a query on the server", async (db, branch) => {
  const gaveUp = new AbortController();
  const unit = db.transaction(async (session) => {
    await drizzleOn(session).execute(sql`select pg_sleep(30) as a_long_sleep`);
  }, { signal: gaveUp.signal });
  const sleeping = () =>
    branch.asAdmin(
      "select from pg_stat_activity where query like '%a_long_sleep%' and wait_event = 'PgSleep'",
    );
  while ((await sleeping()).length === 0);
  gaveUp.abort();
  const error = await assertRejects(() => unit);
  assert(databaseErrorIn(error) instanceof DeadlineError);
  while ((await sleeping()).length > 0);
});

test("the session's own parsers do not change what Drizzle reads", async (db) => {
  await using session = db.session({
    parsers: { 1700: Number, 20: Number, 1114: () => "session" },
  });
  const { rows: [row] } = await drizzleOn(session).execute(
    sql`select 1.10::numeric as n, 9007199254740993::int8 as i, '2024-01-01'::timestamp as t`,
  );
  assertEquals(row, { n: "1.10", i: "9007199254740993", t: "2024-01-01 00:00:00" });
});

test("casing: snake_case", async (db) => {
  await using session = db.session();
  const cased = pgTable("cased", { longName: integer().primaryKey() });
  const tx = drizzleOn(session, { casing: "snake_case", schema: { cased } });
  await tx.execute(sql`create table cased (long_name int)`);
  await tx.insert(cased).values({ longName: 1 });
  assertEquals(await tx.query.cased.findMany(), [{ longName: 1 }]);
});

test("one schema may be used with both casings", async (db) => {
  await using session = db.session();
  const cased = pgTable("cased", { longName: integer() });
  const plain = drizzleOn(session, { schema: { cased } });
  const snake = drizzleOn(session, { schema: { cased }, casing: "snake_case" });
  assertEquals(plain.select().from(cased).toSQL().sql, 'select "longName" from "cased"');
  assertEquals(snake.select().from(cased).toSQL().sql, 'select "long_name" from "cased"');
});

test("logger gets the statements and their values", async (db) => {
  await using session = db.session();
  const logged: [string, unknown[]][] = [];
  const logger = {
    logQuery: (text: string, values: unknown[]) => void logged.push([text, values]),
  };
  await drizzleOn(session, { logger }).transaction((tx) =>
    tx.select({ id: accounts.id }).from(accounts).where(eq(accounts.id, 7))
  );
  assertEquals(logged, [['select "id" from "accounts" where "accounts"."id" = $1', [7]]]);
});

test("Drizzle's migrations run in a session", async (db, branch) => {
  const migrations = [["create table migrated (id int)"], ["insert into migrated values (1)"]]
    .map((sql, n) => ({ sql, hash: `hash ${n}`, folderMillis: n + 1, bps: true }));
  const config = { migrationsFolder: "", migrationsSchema: "journal" };
  for (let run = 0; run < 2; run++) {
    await db.transaction(async (session: Session) => {
      const { session: drizzleSession } = drizzleOn(session)._;
      await new PgDialect().migrate(migrations, drizzleSession as never, config);
      await session.commit();
    });
  }
  assertEquals(await branch.asAdmin("select id from migrated"), [{ id: 1 }]);
  await branch.asAdmin("drop table migrated");
});

test("an insert and its transaction() take one flight each, as without Drizzle", async (db) => {
  await using session = db.session();
  const tx = drizzleOn(session);
  const flights = () => db.stats().statementTimes.counts.reduce((sum, each) => sum + each);
  const before = flights();
  await tx.transaction((inner) => inner.insert(accounts).values(account(1)));
  await tx.insert(accounts).values(Array.from({ length: 500 }, (_, n) => account(n + 2)));
  await session.commit();
  assertEquals(flights() - before, 3);
});
