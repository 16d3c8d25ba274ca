/** Statements with one row. */
import { assertEquals, assertRejects } from "@std/assert";
import { RowCountError, sql } from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

function rows(count: number) {
  return sql<{ n: number }>`select n from generate_series(1, ${count}::int) n`;
}

Deno.test("one() returns the row, and names the number of rows that the statement gave instead of one", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ readOnly: true });
  assertEquals(await session.one(rows(1)), { n: 1 });
  for (const count of [0, 2, 5]) {
    const error = await assertRejects(() => session.one(rows(count)), RowCountError);
    assertEquals(error.count, count);
    assertEquals(error.message.includes(`the statement gave ${count};`), true);
  }
});

Deno.test("maybeOne() returns the row or undefined, and refuses several rows; the session goes on", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session({ readOnly: true });
  assertEquals(await session.maybeOne(rows(0)), undefined);
  assertEquals(await session.maybeOne(rows(1)), { n: 1 });
  const error = await assertRejects(() => session.maybeOne(rows(3)), RowCountError, "at most");
  assertEquals(error.count, 3);
  assertEquals(await session.maybeOne(rows(1)), { n: 1 });
});
