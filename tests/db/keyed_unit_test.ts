/** When a unit with a key is retried or its result is loaded, and when not, on a scripted driver. */
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  type Session,
  sql,
} from "../../src/db/mod.ts";
import type { ResolveCommit } from "../../src/db/session/commit_outcome.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";

const INSERT = sql`insert into t values (1)`;

/**
 * A database that loses its first `lost` COMMITs, resolves them by `resolveCommit`, and then refuses `refused`
 * connects.
 */
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
  // Without jitter, an attempt follows the last one at once.
  return databaseOf(pool, { random: () => 0, resolveCommit });
}

const committed: ResolveCommit = () => Promise.resolve({ outcome: "committed" });
const loadResult = () => Promise.resolve("loaded");

Deno.test("a keyed unit is not retried for the unknown outcome of a unit without a key inside it", async () => {
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

Deno.test("a keyed unit does not count as committed because a unit inside it is committed", async () => {
  await using db = losing({ lost: 1, resolveCommit: committed });
  await assertRejects(() =>
    db.transaction(async (session) => {
      await session.query(sql`select 1`);
      await db.transaction((nested) => nested.commit([INSERT]));
      await session.commit();
      return "done";
    }, { key: "outer", loadResult }), CommitRowsLostError);
});

Deno.test("a committed keyed unit is not reported as unknown because of an earlier lost attempt", async () => {
  await using db = losing({ lost: 1 });
  const own = new Error("from the work, after its commit");
  const error = await assertRejects(() =>
    db.transaction(async (session) => {
      await session.commit([INSERT]);
      throw own;
    }, { key: "committed", loadResult })
  );
  assertStrictEquals(error, own);
});

Deno.test("a keyed unit of unknown outcome does not succeed by a run that commits nothing", async () => {
  await using db = losing({ lost: 1 });
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      if (++runs === 1) await session.commit([INSERT]);
      return "nothing to do";
    }, { key: "nothing", loadResult }), CommitOutcomeUnknownError);
  assertEquals(runs, 2);
});

Deno.test("a keyed unit of unknown outcome retries after the pause that the pool asks for", async () => {
  await using db = losing({ lost: 1, refused: 2 });
  let runs = 0;
  const result = await db.transaction(async (session) => {
    runs++;
    await session.commit([INSERT]);
    return "done";
  }, { key: "refused", loadResult, attempts: 5 });
  // The first attempt is lost, two connects fail, the pool refuses one attempt, and the last one succeeds.
  assertEquals([result, runs], ["done", 5]);
});

Deno.test("an outcome found by the key counts as resolved, and one never found as unknown", async () => {
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
