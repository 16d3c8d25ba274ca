/** What a key allows, and what it does not: whose failure it was decides, and what is known by then. */
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  type ResolveCommit,
  type Session,
  sql,
} from "../../src/db/mod.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";

const INSERT = sql`insert into t values (1)`;

/** Loses the first `lost` COMMITs, and is told of each what `resolveCommit` says. */
function losing(
  { lost, resolveCommit, refused = 0 }: {
    lost: number;
    resolveCommit?: ResolveCommit;
    refused?: number;
  },
) {
  const driver = new ScriptedDriver({
    reply: ({ text }, connection) => {
      if (text === "commit" && lost-- > 0) connection.cut({ begun: true });
      return undefined;
    },
    onConnect: () => {
      if (driver.connections.length > 1 && refused-- > 0) throw new Error("refused");
    },
  });
  const pool = poolOf(driver);
  // Without jitter, attempts follow each other at once.
  return databaseOf(pool, { random: () => 0, resolveCommit });
}

const committed: ResolveCommit = () => Promise.resolve({ outcome: "committed" });
const loadResult = () => Promise.resolve("recalled");

Deno.test("a keyed unit is not run again for the unknown outcome of a unit within it, which has no key", async () => {
  await using db = losing({ lost: 1 });
  let inner = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      await session.query(sql`select 1`);
      await db.transaction((nested) => {
        inner++;
        return nested.commit([INSERT]);
      });
      await session.commit();
      return "done";
    }, { key: "outer", loadResult }), CommitOutcomeUnknownError);
  assertEquals(inner, 1);
});

Deno.test("a keyed unit is not taken for done because a unit within it is", async () => {
  await using db = losing({ lost: 1, resolveCommit: committed });
  await assertRejects(() =>
    db.transaction(async (session) => {
      await session.query(sql`select 1`);
      await db.transaction((nested) => nested.commit([INSERT]));
      await session.commit();
      return "done";
    }, { key: "outer", loadResult }), CommitRowsLostError);
});

Deno.test("a keyed unit that is committed is not told as unknown for an attempt that was lost before", async () => {
  await using db = losing({ lost: 1 });
  const own = new Error("from what came after");
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      await session.commit([INSERT]);
      throw own;
    }, { key: "committed", loadResult })
  );
  assertStrictEquals(error, own);
});

Deno.test("a keyed unit in doubt is not told as done by a run that committed nothing", async () => {
  await using db = losing({ lost: 1 });
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      if (++runs === 1) await session.commit([INSERT]);
      return "nothing to do";
    }, { key: "nothing", loadResult }), CommitOutcomeUnknownError);
  assertEquals(runs, 2);
});

Deno.test("a keyed unit in doubt that the pool refuses asks again when the pool says", async () => {
  await using db = losing({ lost: 1, refused: 2 });
  let runs = 0;
  const told = await db.transaction(async (session) => {
    runs++;
    await session.commit([INSERT]);
    return "done";
  }, { key: "refused", loadResult, attempts: 5 });
  // Lost, twice not reached, refused for a while, done.
  assertEquals([told, runs], ["done", 5]);
});

Deno.test("what a key finds out is counted as settled, and what nobody does as unknown", async () => {
  await using db = losing({ lost: 3 });
  const unit = (attempts: number) =>
    db.transaction((session: Session) => session.commit([INSERT]).then(() => "done"), {
      key: "counted",
      loadResult,
      attempts,
    });
  await assertRejects(() => unit(1), CommitOutcomeUnknownError);
  assertEquals([db.stats().resolved, db.stats().unknown], [0, 1]);
  await unit(3);
  assertEquals([db.stats().resolved, db.stats().unknown], [1, 1]);
});
