import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  AcquireTimeoutError,
  classify,
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  ServerError,
  SessionNotCommittedError,
  sql,
  trustedSql,
} from "../../src/db/mod.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { type Reply, ScriptedDriver, serverError } from "../support/scripted_driver.ts";

function scripted(reply?: Reply, onConnect?: () => void) {
  const driver = new ScriptedDriver({
    ...(reply === undefined ? {} : { reply }),
    ...(onConnect === undefined ? {} : { onConnect }),
  });
  const pool = poolOf(driver);
  // Without jitter, an attempt follows the last one at once.
  return { driver, pool, db: databaseOf(pool, { random: () => 0 }) };
}

/** Fails the first `count` times that `text` is run. */
function failing(text: string, { count, sqlState }: { count: number; sqlState: string }): Reply {
  return (statement) => {
    if (statement.text !== text || count === 0) return undefined;
    count--;
    return serverError(sqlState, "scripted");
  };
}

Deno.test("transaction() returns what the work returns", async () => {
  const { db } = scripted(({ text }) => (text === "select 1" ? { rows: [{ one: 1 }] } : undefined));
  await using _ = db;
  const rows = await db.transaction((session) => session.query(sql<{ one: number }>`select 1`));
  assertEquals(rows, [{ one: 1 }]);
});

for (const sqlState of ["40001", "40P01"]) {
  Deno.test(`transaction() runs the whole unit again after ${sqlState}`, async () => {
    const { db } = scripted(failing("update t", { count: 2, sqlState }));
    await using _ = db;
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(sql`select 1`);
      await session.query(sql`update t`);
      await session.commit();
    });
    assertEquals(runs, 3);
  });

  Deno.test(`transaction() runs the whole unit again after ${sqlState} in answer to COMMIT`, async () => {
    const { db } = scripted(failing("commit", { count: 1, sqlState }));
    await using _ = db;
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.commit([sql`update t`]);
    });
    assertEquals(runs, 2);
  });
}

for (
  const { text, again } of [
    { text: "rollback", again: false },
    { text: "-- a comment\nabort", again: false },
    { text: "rollback to savepoint s", again: true },
  ]
) {
  Deno.test(`a unit whose connection is lost behind "${text}" in a batch is ${again ? "" : "not "}run again`, async () => {
    let losses = 1;
    const { db } = scripted((statement, connection) => {
      if (statement.text !== "update t" || losses-- <= 0) return undefined;
      connection.cut();
      return undefined;
    });
    await using _ = db;
    let runs = 0;
    const unit = db.transaction(async (session) => {
      runs++;
      await session.query(sql`select 1`);
      // The server commits what is behind a rollback on its own.
      await session.batch([trustedSql(text), sql`update t`]);
      await session.commit();
    });
    if (again) await unit;
    else await assertRejects(() => unit, ConnectionLostError);
    assertEquals(runs, again ? 2 : 1);
  });
}

for (const sqlState of ["23505", "57014", "42601", "40003"]) {
  Deno.test(`transaction() does not run a unit again after ${sqlState}`, async () => {
    const { db } = scripted(failing("update t", { count: 1, sqlState }));
    await using _ = db;
    let runs = 0;
    const error = await assertRejects(() =>
      db.transaction(async (session) => {
        runs++;
        await session.query(sql`update t`);
      }), ServerError);
    assertEquals(error.sqlState, sqlState);
    assertEquals(runs, 1);
  });
}

Deno.test("transaction() stops after its attempts, and throws the last one's own error with their number", async () => {
  const { pool, db } = scripted(failing("update t", { count: 9, sqlState: "40001" }));
  await using _ = db;
  const errors: unknown[] = [];
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      try {
        await session.query(sql`update t`);
      } catch (error) {
        errors.push(error);
        throw error;
      }
    }, { attempts: 3 }), ServerError);
  assertEquals(errors.length, 3);
  assertStrictEquals(error, errors[2]);
  assertEquals(error.attempts, 3);
  assertEquals(pool.stats().leased, 0);
});

for (const sqlState of ["25006", "25P02", "26000", "42P05"]) {
  for (const text of ["begin isolation level read committed", "update t", "commit"]) {
    Deno.test(`transaction() leaves a connection that answers ${text} with ${sqlState}, and runs again`, async () => {
      const { db, driver } = scripted(failing(text, { count: 1, sqlState }));
      await using _ = db;
      let runs = 0;
      await db.transaction(async (session) => {
        runs++;
        await session.commit([sql`update t`]);
      });
      assertEquals([runs, db.stats().retried], [2, {
        [classify(serverError(sqlState, ""), "statement").kind]: 1,
      }]);
      assertEquals(driver.connections.map(({ state }) => state), ["closed", "idle"]);
    });
  }
}

Deno.test("while every connection is useless, the retry budget bounds the runs", async () => {
  const { db, driver } = scripted(failing("update t", { count: Infinity, sqlState: "25006" }));
  await using _ = db;
  let runs = 0;
  for (let unit = 0; unit < 20; unit++) {
    await assertRejects(() =>
      db.transaction(async (session) => {
        runs++;
        await session.commit([sql`update t`]);
      }), ServerError);
  }
  // Ten at the start, one for every five units, and ten a second.
  const budgeted = db.stats().retried["read_only"]!;
  assertEquals(runs, 20 + budgeted);
  assert(budgeted >= 10 && budgeted < 30, `${budgeted} runs again`);
  assertEquals(driver.connections.length, runs);
});

Deno.test("transaction() runs the unit again after a failed connect", async () => {
  let connects = 0;
  const { db } = scripted(undefined, () => {
    if (++connects === 1) throw new Error("refused");
  });
  await using _ = db;
  await db.transaction((session) => session.query(sql`select 1`));
  assertEquals(connects, 2);
});

Deno.test("transaction() does not retry a unit that the pool refused", async () => {
  const { driver, db } = scripted(undefined, () => {
    throw new Error("refused");
  });
  await using _ = db;
  await assertRejects(
    () => db.transaction((session) => session.query(sql`select 1`)),
    PoolOverloadedError,
  );
  assertEquals(driver.connections.length, 2);
});

for (
  const refusal of [
    new AcquireTimeoutError("refused", { retryAfterMs: 1, cause: new ConnectError("no route") }),
    new PoolOverloadedError("refused", { retryAfterMs: 1, cause: new ConnectError("no route") }),
    new PoolClosedError("refused", { cause: new ConnectionLostError("lost", { begun: true }) }),
    new DeadlineError("refused", { cause: new ConnectionLostError("lost", { begun: true }) }),
  ]
) {
  Deno.test(`transaction() does not run a unit again after ${refusal.name}, whatever its cause`, async () => {
    const { db } = scripted();
    await using _ = db;
    let runs = 0;
    const error = await assertRejects(() =>
      db.transaction(() => {
        runs++;
        return Promise.reject(refusal);
      })
    );
    assertStrictEquals(error, refusal);
    assertEquals(runs, 1);
  });
}

Deno.test("transaction() does not retry while its COMMIT is in progress", async () => {
  const answered = Promise.withResolvers<undefined>();
  const { db } = scripted(({ text }) => (text === "commit" ? answered.promise : undefined));
  await using _ = db;
  let runs = 0;
  await assertRejects(() =>
    db.transaction((session) => {
      runs++;
      session.commit([sql`insert into t values (1)`]).catch(() => {});
      setTimeout(() => answered.resolve(undefined), 0);
      return Promise.reject(serverError("40001", "from another unit"));
    }), ServerError);
  assertEquals(runs, 1);
});

Deno.test("transaction() does not retry after a COMMIT of unknown outcome whose error the work has caught", async () => {
  const { db } = scripted(({ text }, connection) => {
    if (text === "commit") connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      await session.commit([sql`insert into t values (1)`]).catch(() => {});
      throw serverError("40001", "from looking for its effects");
    }), ServerError);
  assertEquals(runs, 1);
});

Deno.test("transaction() includes statements that the work has not awaited", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await assertRejects(
    () =>
      db.transaction((session) => {
        session.query(sql`insert into t values (1)`);
        return Promise.resolve();
      }),
    SessionNotCommittedError,
  );
  await db.transaction((session) => {
    session.query(sql`insert into t values (1)`);
    session.commit();
    return Promise.resolve();
  });
  assertEquals(driver.connections[0]!.flights.at(-1)?.at(-1), "commit");
});

Deno.test("transaction() runs the unit again when the connection is lost before COMMIT", async () => {
  let isFirst = true;
  const { driver, db } = scripted(({ text }, connection) => {
    if (text === "update t" && isFirst) {
      isFirst = false;
      connection.cut({ begun: true });
    }
    return undefined;
  });
  await using _ = db;
  await db.transaction(async (session) => {
    await session.query(sql`select 1`);
    await session.query(sql`update t`);
    await session.commit();
  });
  assertEquals(driver.connections.length, 2);
});

Deno.test("transaction() never retries a unit whose COMMIT may have taken effect", async () => {
  const { driver, db } = scripted(({ text }, connection) => {
    if (text === "commit") connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      await session.commit([sql`insert into t values (1)`]);
    }), CommitOutcomeUnknownError);
  assertEquals(runs, 1);
  assertEquals(driver.connections.length, 1);
});

Deno.test("transaction() does not retry after a known COMMIT", async () => {
  const { db } = scripted();
  await using _ = db;
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      await session.commit([sql`insert into t values (1)`]);
      throw serverError("40001", "from somewhere else");
    }), ServerError);
  assertEquals(runs, 1);
});

Deno.test("transaction() rejects work that wrote and neither committed nor rolled back", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await assertRejects(
    () => db.transaction((session) => session.query(sql`insert into t values (1)`)),
    SessionNotCommittedError,
    "await session.commit()",
  );
  assertEquals(driver.connections[0]!.flights.at(-1), ["ROLLBACK"]);
});

Deno.test("transaction() rolls back when the work throws, and rethrows the error", async () => {
  const { driver, pool, db } = scripted();
  await using _ = db;
  const failure = new Error("changed my mind");
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      await session.query(sql`insert into t values (1)`);
      throw failure;
    })
  );
  assertStrictEquals(error, failure);
  assertEquals(driver.connections[0]!.flights.at(-1), ["ROLLBACK"]);
  assertEquals(pool.stats().idle, 1);
});

Deno.test("transaction() finds a transient failure in the cause of the error that the work throws", async () => {
  const { db } = scripted(failing("update t", { count: 1, sqlState: "40001" }));
  await using _ = db;
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    try {
      await session.query(sql`update t`);
    } catch (cause) {
      throw new Error("could not update", { cause });
    }
    await session.commit();
  });
  assertEquals(runs, 2);
});

Deno.test("transaction() gives the connection back before it waits for the next attempt", async () => {
  const driver = new ScriptedDriver({
    reply: failing("update t", { count: 1, sqlState: "40001" }),
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0 });
  await using db = databaseOf(pool, { random: () => 0.9 });
  const order: string[] = [];
  await Promise.all([
    db.transaction(async (session) => {
      order.push("first");
      await session.commit([sql`update t`]);
    }),
    db.transaction(async (session) => {
      await session.commit([sql`select 1`]);
      order.push("second");
    }),
  ]);
  assertEquals(order, ["first", "second", "first"]);
});

Deno.test("transaction() on a closed pool is refused at once", async () => {
  const { db } = scripted();
  await db.close({ timeoutMs: 0 });
  await assertRejects(
    () => db.transaction((session) => session.query(sql`select 1`)),
    PoolClosedError,
  );
});

Deno.test("transaction() does not wait for the rollback of reads", async () => {
  const rolledBack = Promise.withResolvers<undefined>();
  const { pool, db } = scripted(({ text }) => (
    text === "ROLLBACK" ? rolledBack.promise : undefined
  ));
  await using _ = db;
  await db.transaction(async (session) => {
    await session.query(sql`select 1`);
    await session.query(sql`select 2`);
  }, { readOnly: true });
  assertEquals(pool.stats().leased, 1);
  rolledBack.resolve(undefined);
});

for (
  const [options, ending] of [
    [{ isolation: "serializable", readOnly: true }, "commit"],
    [{ isolation: "serializable", readOnly: true, deferrable: true }, "ROLLBACK"],
    [{ isolation: "repeatable read", readOnly: true }, "ROLLBACK"],
    [{ isolation: "repeatable read" }, "ROLLBACK"],
  ] as const
) {
  Deno.test(`transaction() ends reads with ${ending} at ${JSON.stringify(options)}`, async () => {
    const { driver, db } = scripted();
    {
      await using _ = db;
      await db.transaction((session) => session.query(sql`select 1`), options);
    }
    assertEquals(driver.connections[0]!.flights.at(-1), [ending]);
  });
}

Deno.test("transaction() retries serializable reads whose COMMIT fails with 40001", async () => {
  const { db } = scripted(failing("commit", { count: 1, sqlState: "40001" }));
  await using _ = db;
  let runs = 0;
  await db.transaction((session) => {
    runs++;
    return session.query(sql`select 1`);
  }, { isolation: "serializable", readOnly: true });
  assertEquals(runs, 2);
});

Deno.test("transaction() rejects uncommitted serializable reads in a transaction that may write", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await assertRejects(
    () =>
      db.transaction((session) => session.query(sql`select f()`), { isolation: "serializable" }),
    SessionNotCommittedError,
    "trust the serializable reads",
  );
  assertEquals(driver.connections[0]!.flights.at(-1), ["ROLLBACK"]);
});

Deno.test("transaction() accepts serializable work that ran no statement and did not commit", async () => {
  const { driver, db } = scripted();
  await using _ = db;
  await db.transaction(() => Promise.resolve(), { isolation: "serializable" });
  assertEquals(driver.connections.length, 0);
});

Deno.test("SessionNotCommittedError has the error that the work swallowed as its cause", async () => {
  const { db } = scripted(failing("update t", { count: 1, sqlState: "23505" }));
  await using _ = db;
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      await session.query(sql`insert into t values (1)`);
      await session.query(sql`update t`).catch(() => {});
    }), SessionNotCommittedError);
  assertInstanceOf(error.cause, ServerError);
  assertEquals(error.cause.sqlState, "23505");
});

Deno.test("a unit inside another does not multiply attempts", async () => {
  const { db } = scripted(failing("update t", { count: Infinity, sqlState: "40001" }));
  await using _ = db;
  let outer = 0;
  let inner = 0;
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      outer++;
      await session.query(sql`select 1`);
      await db.transaction((nested) => {
        inner++;
        return nested.query(sql`update t`);
      });
    }), ServerError);
  assertEquals([outer, inner, error.attempts], [1, 4, 4]);
});

Deno.test("a unit inside another does not multiply attempts, even if its work wraps the failure", async () => {
  const { db } = scripted(failing("update t", { count: Infinity, sqlState: "40001" }));
  await using _ = db;
  let outer = 0;
  let inner = 0;
  await assertRejects(() =>
    db.transaction(() => {
      outer++;
      return db.transaction((nested) => {
        inner++;
        return nested.query(sql`update t`).catch((cause) => {
          throw new Error("cannot update", { cause });
        });
      });
    })
  );
  assertEquals([outer, inner], [1, 4]);
});
