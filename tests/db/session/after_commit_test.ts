/** What is called after a commit, in which order, and when it is not. */
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { SessionEndedError, sql } from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { type Reply, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

function scripted(reply?: Reply) {
  const driver = new ScriptedDriver(reply === undefined ? {} : { reply });
  const pool = poolOf(driver);
  const deferred: Promise<void>[] = [];
  const db = databaseOf(pool, {
    random: () => 0,
    waitUntil: (rest) => {
      rest.catch(() => {});
      deferred.push(rest);
    },
  });
  return { db, pool, deferred };
}

Deno.test("hooks are called after COMMIT is answered, in order, when the lease is back", async () => {
  const seen: string[] = [];
  const { db, pool, deferred } = scripted(({ text }) => {
    if (text === "commit") seen.push("COMMIT");
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert 1`);
  session.afterCommit(async () => {
    await Promise.resolve();
    seen.push(`first, ${pool.stats().leased} leased`);
  });
  session.afterCommit(() => void seen.push("second"));
  await session.commit();
  await Promise.all(deferred);
  assertEquals(seen, ["COMMIT", "first, 0 leased", "second"]);
});

Deno.test("commit() does not wait for hooks", async () => {
  const { db, deferred } = scripted();
  await using _ = db;
  await using session = db.session();
  const { promise, resolve } = Promise.withResolvers<void>();
  session.afterCommit(() => promise);
  await session.commit([sql`insert 1`]);
  assertEquals(deferred.length, 1);
  resolve();
  await Promise.all(deferred);
});

Deno.test("a hook that fails is the deferred promise's failure, and stops neither commit() nor the next hook", async () => {
  const { db, deferred } = scripted();
  await using _ = db;
  await using session = db.session();
  const failure = new Error("from the hook");
  const called: number[] = [];
  session.afterCommit(() => {
    throw failure;
  });
  session.afterCommit(() => void called.push(2));
  await session.commit([sql`insert 1`]);
  assertStrictEquals(await assertRejects(() => deferred[0]!), failure);
  assertEquals(called, [2]);
});

Deno.test("the failures of several hooks come together", async () => {
  const { db, deferred } = scripted();
  await using _ = db;
  await using session = db.session();
  for (const _ of [1, 2]) session.afterCommit(() => Promise.reject(new Error("from the hook")));
  await session.commit();
  const error = await assertRejects(() => deferred[0]!);
  assertInstanceOf(error, AggregateError);
  assertEquals(error.errors.length, 2);
});

Deno.test("hooks are not called after a rollback, a failed COMMIT, or one of unknown outcome", async () => {
  const endings: Record<string, Reply> = {
    failed: ({ text }) => (text === "commit" ? serverError("23503", "deferred") : undefined),
    "answered ROLLBACK": ({ text }) => (text === "commit" ? { command: "ROLLBACK" } : undefined),
    unknown: ({ text }, connection) => {
      if (text === "commit") connection.cut({ begun: true });
      return undefined;
    },
    "rolled back": () => undefined,
  };
  for (const [ending, reply] of Object.entries(endings)) {
    const { db, deferred } = scripted(reply);
    await using _ = db;
    await using session = db.session();
    session.afterCommit(() => {
      throw new Error(`called after ${ending}`);
    });
    await session.query(sql`insert 1`);
    if (ending !== "rolled back") await assertRejects(() => session.commit());
    await session.rollback();
    assertEquals(deferred.length, 0, ending);
  }
});

Deno.test("hooks of a savepoint that was kept are called in their turn, those of one that was not are dropped", async () => {
  const { db, deferred } = scripted();
  await using _ = db;
  await using session = db.session();
  const called: string[] = [];
  session.afterCommit(() => void called.push("before"));
  await session.savepoint(async (inner) => {
    inner.afterCommit(() => void called.push("kept"));
    await inner.savepoint(async (innermost) => {
      innermost.afterCommit(() => void called.push("kept within"));
      await innermost.query(sql`insert 1`);
    });
  });
  await session.savepoint(async (inner) => {
    await inner.savepoint((innermost) => innermost.afterCommit(() => void called.push("dropped")));
    throw new Error("changed my mind");
  }).catch(() => {});
  await session.savepoint(async (inner) => {
    inner.afterCommit(() => void called.push("dropped"));
    await inner.rollback();
  });
  session.afterCommit(() => void called.push("after"));
  await session.commit();
  await Promise.all(deferred);
  assertEquals(called, ["before", "kept", "kept within", "after"]);
});

Deno.test("of a unit that was run again, the hooks of its last attempt are called", async () => {
  let attempts = 0;
  const { db, deferred } = scripted(({ text }) => (
    text === "commit" && attempts < 3 ? serverError("40001", "again") : undefined
  ));
  await using _ = db;
  const called: number[] = [];
  await db.transaction(async (session) => {
    const attempt = ++attempts;
    session.afterCommit(() => void called.push(attempt));
    await session.commit([sql`insert 1`]);
  });
  await Promise.all(deferred);
  assertEquals(called, [3]);
});

Deno.test("hooks are called once, also if commit() is said twice", async () => {
  const { db, deferred } = scripted();
  await using _ = db;
  await using session = db.session();
  let calls = 0;
  session.afterCommit(() => void calls++);
  await session.commit();
  await session.commit();
  await Promise.all(deferred);
  assertEquals(calls, 1);
});

Deno.test("afterCommit() is refused once the session has ended", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.commit();
  await assertRejects(async () => await session.afterCommit(() => {}), SessionEndedError);
});
