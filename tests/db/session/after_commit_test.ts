/** When `afterCommit` hooks are called, in which order, and when not. */
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { SessionEndedError, sql } from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { type Reply, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

function scripted(reply?: Reply) {
  const driver = new ScriptedDriver(reply === undefined ? {} : { reply });
  const pool = poolOf(driver);
  const background: Promise<void>[] = [];
  const db = databaseOf(pool, {
    random: () => 0,
    waitUntil: (rest) => {
      rest.catch(() => {});
      background.push(rest);
    },
  });
  return { db, pool, background };
}

Deno.test("hooks are called after the answer to COMMIT, in order, after the lease was returned", async () => {
  const seen: string[] = [];
  const { db, pool, background } = scripted(({ text }) => {
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
  await Promise.all(background);
  assertEquals(seen, ["COMMIT", "first, 0 leased", "second"]);
});

Deno.test("commit() does not wait for hooks", async () => {
  const { db, background } = scripted();
  await using _ = db;
  await using session = db.session();
  const { promise, resolve } = Promise.withResolvers<void>();
  session.afterCommit(() => promise);
  await session.commit([sql`insert 1`]);
  assertEquals(background.length, 1);
  resolve();
  await Promise.all(background);
});

Deno.test("a failing hook rejects the promise given to waitUntil, and stops neither commit() nor the next hook", async () => {
  const { db, background } = scripted();
  await using _ = db;
  await using session = db.session();
  const failure = new Error("from the hook");
  const called: number[] = [];
  session.afterCommit(() => {
    throw failure;
  });
  session.afterCommit(() => void called.push(2));
  await session.commit([sql`insert 1`]);
  assertStrictEquals(await assertRejects(() => background[0]!), failure);
  assertEquals(called, [2]);
});

Deno.test("the failures of several hooks are one AggregateError", async () => {
  const { db, background } = scripted();
  await using _ = db;
  await using session = db.session();
  for (const _ of [1, 2]) session.afterCommit(() => Promise.reject(new Error("from the hook")));
  await session.commit();
  const error = await assertRejects(() => background[0]!);
  assertInstanceOf(error, AggregateError);
  assertEquals(error.errors.length, 2);
});

Deno.test("hooks are not called after a rollback, a failed COMMIT, or a COMMIT of unknown outcome", async () => {
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
    const { db, background } = scripted(reply);
    await using _ = db;
    await using session = db.session();
    session.afterCommit(() => {
      throw new Error(`called after ${ending}`);
    });
    await session.query(sql`insert 1`);
    if (ending !== "rolled back") await assertRejects(() => session.commit());
    await session.rollback();
    assertEquals(background.length, 0, ending);
  }
});

Deno.test("hooks of a released savepoint are called in order, those of a rolled-back one are not", async () => {
  const { db, background } = scripted();
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
  await Promise.all(background);
  assertEquals(called, ["before", "kept", "kept within", "after"]);
});

Deno.test("after a retry only the hooks of the last attempt are called", async () => {
  let attempts = 0;
  const { db, background } = scripted(({ text }) => (
    text === "commit" && attempts < 3 ? serverError("40001", "again") : undefined
  ));
  await using _ = db;
  const called: number[] = [];
  await db.transaction(async (session) => {
    const attempt = ++attempts;
    session.afterCommit(() => void called.push(attempt));
    await session.commit([sql`insert 1`]);
  });
  await Promise.all(background);
  assertEquals(called, [3]);
});

Deno.test("hooks are called once, also if commit() is called twice", async () => {
  const { db, background } = scripted();
  await using _ = db;
  await using session = db.session();
  let calls = 0;
  session.afterCommit(() => void calls++);
  await session.commit();
  await session.commit();
  await Promise.all(background);
  assertEquals(calls, 1);
});

Deno.test("afterCommit() throws after the end of the session", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.commit();
  await assertRejects(async () => await session.afterCommit(() => {}), SessionEndedError);
});
