/** Kysely in units of work: retry, commit, transactions and savepoints, lost COMMITs. All of these stay the session's. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AbortedTransactionError, type Kysely, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import {
  type Database,
  ServerError,
  SessionEndedError,
  SessionNotCommittedError,
  StatementSkippedError,
} from "../../../src/db/mod.ts";
import { kyselyOn } from "../../../src/library/kysely/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { COMMIT, COMMITTED, dropBefore } from "../../support/fault_relay.ts";
import { ormDatabase } from "./orm_database.ts";

interface DB {
  account: { id: number; balance: number };
}

const database = await ormDatabase([
  "create table account (id int primary key, balance int not null)",
]);

/** Runs a test on an empty table. */
function test(name: string, fn: (db: Database, branch: Branch) => Promise<void>): void {
  Deno.test(`kysely, session: ${name}`, () =>
    database.withDatabase(async (db, branch) => {
      await branch.asAdmin("truncate account");
      await fn(db, branch);
    }));
}

const add = (on: Kysely<DB>, id: number) =>
  on.insertInto("account").values({ id, balance: 0 }).execute();
const ids = async (branch: Branch) =>
  (await branch.asAdmin<{ id: number }>("select id from account order by id")).map(({ id }) => id);

/** Runs `work` in a unit, and returns which rows it has left. */
async function unit(
  { db, branch }: { db: Database; branch: Branch },
  work: (on: Kysely<DB>) => Promise<void>,
): Promise<number[]> {
  await db.transaction(async (session) => {
    await work(kyselyOn<DB>(session));
    await session.commit();
  });
  return await ids(branch);
}

test("what is committed stays", async (db, branch) => {
  assertEquals(await unit({ db, branch }, async (on) => void await add(on, 1)), [1]);
});

test("a write without commit() is SessionNotCommittedError", async (db, branch) => {
  const forgets = () => db.transaction(async (session) => void await add(kyselyOn<DB>(session), 1));
  await assertRejects(forgets, SessionNotCommittedError);
  assertEquals(await ids(branch), []);
});

test("afterCommit runs after the commit", async (db) => {
  const told: string[] = [];
  await db.transaction(async (session) => {
    session.afterCommit(() => void told.push("committed"));
    await kyselyOn<DB>(session).transaction().execute((trx) => add(trx, 1));
    assertEquals(told, []);
    await session.commit();
  });
  assertEquals(told, ["committed"]);
});

for (
  const [where, run] of [
    ["in a query", (on: Kysely<DB>, work: (on: Kysely<DB>) => Promise<unknown>) => work(on)],
    [
      "in transaction()",
      (on: Kysely<DB>, work: (on: Kysely<DB>) => Promise<unknown>) =>
        on.transaction().execute((trx) => work(trx)),
    ],
    [
      "in startTransaction(), rolled back by the work",
      async (on: Kysely<DB>, work: (on: Kysely<DB>) => Promise<unknown>) => {
        const trx = await on.startTransaction().execute();
        try {
          await work(trx);
          await trx.commit().execute();
        } catch (error) {
          await trx.rollback().execute();
          throw error;
        }
      },
    ],
    [
      "in a savepoint of startTransaction(), rolled back by the work",
      async (on: Kysely<DB>, work: (on: Kysely<DB>) => Promise<unknown>) => {
        const trx = await on.startTransaction().execute();
        const point = await trx.savepoint("a").execute();
        try {
          await work(point);
        } catch (error) {
          await point.rollbackToSavepoint("a").execute();
          await trx.rollback().execute();
          throw error;
        }
        await trx.commit().execute();
      },
    ],
    [
      "in connection()",
      (on: Kysely<DB>, work: (on: Kysely<DB>) => Promise<unknown>) =>
        on.connection().execute((one) => work(one)),
    ],
  ] as const
) {
  for (const wrapped of [false, true]) {
    const name = wrapped ? `${where}, in an error of the app,` : where;
    test(`a serialization failure ${name} is retried`, async (db, branch) => {
      await branch.asAdmin("insert into account values (1, 0)");
      let runs = 0;
      await db.transaction(async (session) => {
        const on = kyselyOn<DB>(session);
        const row = await on.selectFrom("account").selectAll().executeTakeFirstOrThrow();
        if (++runs === 1) await branch.asAdmin("update account set balance = 10");
        await run(on, async (inner) => {
          const update = inner.updateTable("account").set({ balance: row.balance + 1 });
          await update.execute().catch((cause) => {
            throw wrapped ? new Error("of the app", { cause }) : cause;
          });
        });
        await session.commit();
      }, { isolation: "repeatable read" });
      assertEquals(runs, 2);
      assertEquals(await branch.asAdmin("select balance from account"), [{ balance: 11 }]);
    });
  }
}

test(
  "a serialization failure that the work hides until its transaction() commits is retried",
  async (db, branch) => {
    await branch.asAdmin("insert into account values (1, 0)");
    let runs = 0;
    await db.transaction(async (session) => {
      const on = kyselyOn<DB>(session);
      await on.selectFrom("account").selectAll().execute();
      if (++runs === 1) await branch.asAdmin("update account set balance = 10");
      await on.transaction().execute(async (trx) => {
        await trx.updateTable("account").set({ balance: 1 }).execute().catch(() => {});
      });
      await session.commit();
    }, { isolation: "repeatable read" });
    assertEquals(runs, 2);
  },
);

test("a serialization failure that the work has handled is not retried", async (db, branch) => {
  await branch.asAdmin("insert into account values (1, 0)");
  let runs = 0;
  await db.transaction(async (session) => {
    const on = kyselyOn<DB>(session);
    await on.selectFrom("account").selectAll().execute();
    if (++runs === 1) await branch.asAdmin("update account set balance = 10");
    const error = await on.transaction().execute((trx) =>
      trx.updateTable("account").set({ balance: 1 }).execute()
    ).catch((error) => error);
    assertEquals((error as ServerError).sqlState, "40001");
    await add(on, 2);
    await session.commit();
  }, { isolation: "repeatable read" });
  assertEquals([runs, await ids(branch)], [1, [1, 2]]);
});

test("a terminated backend before COMMIT costs one run", async (db, branch) => {
  let runs = 0;
  await db.transaction(async (session) => {
    const on = kyselyOn<DB>(session);
    const { rows: [row] } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on);
    if (++runs === 1) await branch.asAdmin(`select pg_terminate_backend(${row!.pid})`);
    await add(on, 1);
    await session.commit();
  });
  assertEquals([runs, await ids(branch)], [2, [1]]);
});

for (const [what, point, runsWanted] of [["answer to", COMMITTED, 1], ["", COMMIT, 2]] as const) {
  Deno.test(`kysely, session: a lost ${what} COMMIT is looked up`, async () => {
    await using branch = await database.faulty();
    const db = branch.open(branch.envOf("user_service_owner"));
    await branch.asAdmin("truncate account");
    const armed = branch.relay.when(point, dropBefore());
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await kyselyOn<DB>(session).transaction().execute((trx) => add(trx, 1));
      await session.commit();
    });
    assertEquals([runs, armed.strikes, await ids(branch)], [runsWanted, 1, [1]]);
  });
}

test("transaction() keeps its work, and returns its result", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const result = await on.transaction().execute(async (trx) => {
      assertEquals(trx.isTransaction, true);
      return await trx.insertInto("account").values({ id: 1, balance: 7 }).returning("balance")
        .executeTakeFirst();
    });
    assertEquals(result, { balance: 7 });
  });
  assertEquals(rows, [1]);
});

test("transaction() undoes its work if it throws, and the unit goes on", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    await add(on, 1);
    const fails = () =>
      on.transaction().execute(async (trx) => {
        await add(trx, 2);
        throw new Error("no");
      });
    await assertRejects(fails, Error, "no");
    await add(on, 3);
  });
  assertEquals(rows, [1, 3]);
});

test("transaction() undoes a failed statement, and the unit goes on", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    await add(on, 1);
    await assertRejects(() => on.transaction().execute((trx) => add(trx, 1)), ServerError);
    await add(on, 2);
  });
  assertEquals(rows, [1, 2]);
});

test(
  "transaction() that hides a failed statement is AbortedTransactionError, and undone",
  async (db, branch) => {
    const rows = await unit({ db, branch }, async (on) => {
      const hides = () =>
        on.transaction().execute(async (trx) => {
          await add(trx, 1);
          await add(trx, 1).catch(() => {});
        });
      const error = await assertRejects(hides, AbortedTransactionError);
      assert(error.cause instanceof StatementSkippedError);
      await add(on, 2);
    });
    assertEquals(rows, [2]);
  },
);

test("a transaction inside a transaction is refused by Kysely", async (db) => {
  await using session = db.session();
  await kyselyOn<DB>(session).transaction().execute((trx) =>
    assertRejects(
      () => Promise.resolve().then(() => void trx.transaction()),
      Error,
      "not supported",
    )
  );
});

test("transactions one after the other", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    for (const id of [1, 2, 3]) {
      await on.transaction().execute(async (trx) => {
        await add(trx, id);
        if (id === 2) throw new Error("skip");
      }).catch(() => {});
    }
  });
  assertEquals(rows, [1, 3]);
});

test("an empty transaction() is fine", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    assertEquals(await on.transaction().execute(() => Promise.resolve(5)), 5);
    await add(on, 1);
  });
  assertEquals(rows, [1]);
});

test("the Kysely outside is refused while a transaction runs", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    await on.transaction().execute(async (trx) => {
      await assertRejects(() => add(on, 9), SessionEndedError, "savepoint");
      await add(trx, 1);
    });
  });
  assertEquals(rows, [1]);
});

test("two transactions side by side are refused", async (db) => {
  await using session = db.session();
  const on = kyselyOn<DB>(session);
  const [first, second] = await Promise.allSettled(
    [1, 2].map((id) => on.transaction().execute((trx) => add(trx, id))),
  );
  assertEquals(first?.status, "fulfilled");
  assert(second?.status === "rejected" && second.reason instanceof SessionEndedError);
});

test("a transaction is refused after its end", async (db) => {
  await using session = db.session();
  let kept: Kysely<DB> | undefined;
  await kyselyOn<DB>(session).transaction().execute((trx) => Promise.resolve(void (kept = trx)));
  await assertRejects(() => add(kept!, 1), Error, "already committed");
});

test("startTransaction() and commit()", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    await add(trx, 1);
    await trx.commit().execute();
    assertEquals([trx.isCommitted, trx.isRolledBack], [true, false]);
    await add(on, 2);
  });
  assertEquals(rows, [1, 2]);
});

test("startTransaction() and rollback()", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    await add(trx, 1);
    await trx.rollback().execute();
    assertEquals([trx.isCommitted, trx.isRolledBack], [false, true]);
    await assertRejects(() => add(trx, 3), Error, "already rolled back");
    await add(on, 2);
  });
  assertEquals(rows, [2]);
});

test(
  "startTransaction(): a commit after a failed statement is AbortedTransactionError",
  async (db, branch) => {
    const rows = await unit({ db, branch }, async (on) => {
      const trx = await on.startTransaction().execute();
      await add(trx, 1);
      await add(trx, 1).catch(() => {});
      await assertRejects(() => trx.commit().execute(), AbortedTransactionError);
      assertEquals(trx.isRolledBack, true);
      await add(on, 2);
    });
    assertEquals(rows, [2]);
  },
);

test(
  "a startTransaction() that is left open is refused at the commit of the session",
  async (db, branch) => {
    const forgets = () =>
      unit({ db, branch }, async (on) => {
        await add(await on.startTransaction().execute(), 1);
      });
    await assertRejects(forgets, SessionEndedError, "savepoint");
    assertEquals(await ids(branch), []);
  },
);

test("rollbackToSavepoint() undoes what came after it", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    await add(trx, 1);
    const point = await trx.savepoint("a").execute();
    await add(point, 2);
    const after = await point.rollbackToSavepoint("a").execute();
    await add(after, 3);
    await trx.commit().execute();
  });
  assertEquals(rows, [1, 3]);
});

test(
  "rollbackToSavepoint() after a failed statement, as Kysely's documentation shows it",
  async (db, branch) => {
    const rows = await unit({ db, branch }, async (on) => {
      const trx = await on.startTransaction().execute();
      await add(trx, 1);
      const point = await trx.savepoint("after_1").execute();
      try {
        await add(point, 2);
        await add(point, 1);
      } catch {
        await point.rollbackToSavepoint("after_1").execute();
      }
      await point.releaseSavepoint("after_1").execute();
      await add(trx, 3);
      await trx.commit().execute();
    });
    assertEquals(rows, [1, 3]);
  },
);

test("rollbackToSavepoint() may be called again and again", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    const point = await trx.savepoint("a").execute();
    for (const id of [1, 2, 3]) {
      await add(point, id);
      await point.rollbackToSavepoint("a").execute();
    }
    await add(point, 4);
    await point.commit().execute();
  });
  assertEquals(rows, [4]);
});

test("releaseSavepoint() keeps its work", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    const point = await trx.savepoint("a").execute();
    await add(point, 1);
    await point.releaseSavepoint("a").execute();
    await add(trx, 2);
    await trx.commit().execute();
  });
  assertEquals(rows, [1, 2]);
});

test("savepoints nest: to an outer one, inner ones are undone", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    await add(trx, 1);
    const a = await trx.savepoint("a").execute();
    await add(a, 2);
    const b = await a.savepoint("b").execute();
    await add(b, 3);
    await b.rollbackToSavepoint("a").execute();
    await assertRejects(
      () => trx.rollbackToSavepoint("b" as never).execute(),
      Error,
      'current value is "b"',
    );
    await add(trx, 4);
    await trx.commit().execute();
  });
  assertEquals(rows, [1, 4]);
});

test("savepoints nest: the release of an outer one keeps inner ones", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    const a = await trx.savepoint("a").execute();
    const b = await a.savepoint("b").execute();
    await add(b, 1);
    await b.releaseSavepoint("a").execute();
    await trx.commit().execute();
  });
  assertEquals(rows, [1]);
});

test("a savepoint's name that is used again means the newest one", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    const trx = await on.startTransaction().execute();
    const first = await trx.savepoint("a").execute();
    await add(first, 1);
    const second = await first.savepoint("a").execute();
    await add(second, 2);
    await second.rollbackToSavepoint("a").execute();
    await second.releaseSavepoint("a").execute();
    await add(trx, 3);
    await trx.commit().execute();
  });
  assertEquals(rows, [1, 3]);
});

test("commit() with open savepoints keeps them, rollback() undoes them", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    for (const [id, end] of [[1, "commit"], [2, "rollback"]] as const) {
      const trx = await on.startTransaction().execute();
      const point = await (await trx.savepoint("a").execute()).savepoint("b").execute();
      await add(point, id);
      await point[end]().execute();
    }
  });
  assertEquals(rows, [1]);
});

test(
  "a failed statement in a savepoint: commit() undoes all of the transaction",
  async (db, branch) => {
    const rows = await unit({ db, branch }, async (on) => {
      const trx = await on.startTransaction().execute();
      await add(trx, 1);
      const point = await trx.savepoint("a").execute();
      await add(point, 1).catch(() => {});
      await assertRejects(() => point.commit().execute(), AbortedTransactionError);
      await add(on, 2);
    });
    assertEquals(rows, [2]);
  },
);

test(
  "a failed statement in a savepoint: releaseSavepoint() is an error, and undoes it",
  async (db, branch) => {
    const rows = await unit({ db, branch }, async (on) => {
      const trx = await on.startTransaction().execute();
      await add(trx, 1);
      const point = await trx.savepoint("a").execute();
      await add(point, 1).catch(() => {});
      await assertRejects(() => point.releaseSavepoint("a").execute(), StatementSkippedError);
      await add(trx, 2);
      await trx.commit().execute();
    });
    assertEquals(rows, [1, 2]);
  },
);

test("a transaction takes the settings that the session has", async (db) => {
  await using session = db.session({ isolation: "serializable", readOnly: true });
  const rows = await kyselyOn<DB>(session).transaction().setIsolationLevel("serializable")
    .setAccessMode("read only").execute((trx) => trx.selectFrom("account").selectAll().execute());
  assertEquals(rows, []);
});

test("a transaction refuses settings that the session does not have", async (db) => {
  await using session = db.session();
  const on = kyselyOn<DB>(session);
  const nothing = () => Promise.resolve();
  await assertRejects(
    () => on.transaction().setIsolationLevel("serializable").execute(nothing),
    TypeError,
    'pass { isolation: "serializable" }',
  );
  await assertRejects(
    () => on.startTransaction().setAccessMode("read only").execute(),
    TypeError,
    "pass { readOnly: true }",
  );
  await add(on, 1);
});

test("a stream inside a transaction", async (db) => {
  await using session = db.session();
  const seen = await kyselyOn<DB>(session).transaction().execute(async (trx) => {
    await trx.insertInto("account").values([1, 2, 3].map((id) => ({ id, balance: 0 }))).execute();
    return await Array.fromAsync(trx.selectFrom("account").select("id").orderBy("id").stream(2));
  });
  assertEquals(seen, [{ id: 1 }, { id: 2 }, { id: 3 }]);
});

test("connection(): its transaction is seen by its queries", async (db, branch) => {
  const rows = await unit({ db, branch }, async (on) => {
    await on.connection().execute(async (one) => {
      await one.transaction().execute((trx) => add(trx, 1));
      await add(one, 2);
    });
  });
  assertEquals(rows, [1, 2]);
});

test("session.savepoint and Kysely nest", async (db, branch) => {
  await db.transaction(async (session) => {
    await session.savepoint((point) =>
      kyselyOn<DB>(point).transaction().execute((trx) => add(trx, 1))
    );
    await session.commit();
  });
  assertEquals(await ids(branch), [1]);
});

test("destroy() does not end the session", async (db, branch) => {
  await db.transaction(async (session) => {
    {
      await using on = kyselyOn<DB>(session);
      await add(on, 1);
    }
    await add(kyselyOn<DB>(session), 2);
    await session.commit();
  });
  assertEquals(await ids(branch), [1, 2]);
});

test("queries that run at once on one session do not mix", async (db) => {
  await using session = db.session();
  const on = kyselyOn<DB>(session);
  const rows = await Promise.all(
    Array.from({ length: 50 }, (_, n) => sql<{ n: number }>`select ${n}::int as n`.execute(on)),
  );
  assertEquals(rows.map(({ rows }) => rows[0]!.n), Array.from({ length: 50 }, (_, n) => n));
});

test("a query's signal ends the caller's wait, and the session goes on", async (db) => {
  await using session = db.session();
  const on = kyselyOn<DB>(session);
  const aborted = AbortSignal.abort(new RangeError("gave up"));
  await assertRejects(
    () => on.selectFrom("account").selectAll().execute({ signal: aborted }),
    RangeError,
    "gave up",
  );
  assertEquals(await on.selectFrom("account").selectAll().execute(), []);
});

test("cancelling one query of a session is refused by Kysely", async (db) => {
  await using session = db.session();
  const { signal } = new AbortController();
  await assertRejects(
    () =>
      kyselyOn<DB>(session).selectFrom("account").selectAll().execute({
        signal,
        inflightQueryAbortStrategy: "cancel query",
      }),
    Error,
    "doesn't support",
  );
});

test("the session's parsers are used", async (db) => {
  await using session = db.session({ parsers: { 20: Number } });
  const row = await kyselyOn<DB>(session).selectFrom("account")
    .select(({ fn }) => fn.countAll<number>().as("n")).executeTakeFirst();
  assertEquals(row, { n: 0 });
});

test("transaction() and an insert of 500 rows take one flight each, as without Kysely", async (db) => {
  await using session = db.session();
  const on = kyselyOn<DB>(session);
  const flights = () => db.stats().statementTimes.counts.reduce((sum, each) => sum + each);
  const before = flights();
  await on.transaction().execute((trx) => add(trx, 1));
  await on.insertInto("account")
    .values(Array.from({ length: 500 }, (_, n) => ({ id: n + 2, balance: n }))).execute();
  await session.commit();
  assertEquals(flights() - before, 3);
});

const MIGRATIONS: Record<string, Migration> = {
  "1_create": { up: (on) => on.schema.createTable("made").addColumn("id", "integer").execute() },
  "2_fill": { up: async (on) => void await sql`insert into made values (1)`.execute(on) },
};

async function migrate(on: Kysely<DB>, migrations = MIGRATIONS): Promise<string[]> {
  const provider = { getMigrations: () => Promise.resolve(migrations) };
  const { error, results = [] } = await new Migrator({ db: on, provider }).migrateToLatest();
  if (error !== undefined) throw error;
  return results.map(({ migrationName, status }) => `${migrationName}: ${status}`);
}

test("Kysely's migrations run in a unit, once", async (db, branch) => {
  const done: string[][] = [];
  for (let run = 0; run < 2; run++) {
    await unit({ db, branch }, async (on) => void done.push(await migrate(on)));
  }
  assertEquals(done, [["1_create: Success", "2_fill: Success"], []]);
  assertEquals(await branch.asAdmin("select id from made"), [{ id: 1 }]);
  await branch.asAdmin("drop table made, kysely_migration, kysely_migration_lock");
});

test("a failed migration undoes all of them", async (db, branch) => {
  const bad = {
    ...MIGRATIONS,
    "3_bad": { up: async (on: Kysely<DB>) => void await sql`select 1 / 0`.execute(on) },
  };
  await assertRejects(
    () => unit({ db, branch }, async (on) => void await migrate(on, bad)),
    ServerError,
    "division by zero",
  );
  assertEquals(await branch.asAdmin("select to_regclass('made') as made"), [{ made: null }]);
});

test("two migrations at once wait for one another", async (db, branch) => {
  await unit({ db, branch }, async (on) => void await migrate(on, {}));
  const done = await Promise.all([1, 2].map(() =>
    db.transaction(async (session) => {
      const results = await migrate(kyselyOn<DB>(session));
      await session.commit();
      return results.length;
    })
  ));
  assertEquals(done.sort(), [0, 2]);
  await branch.asAdmin("drop table made, kysely_migration, kysely_migration_lock");
});
