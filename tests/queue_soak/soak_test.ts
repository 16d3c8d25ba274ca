/** The short form of `deno task queue-soak`, under the same verdict. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { FULL, queueSoak } from "./soak.ts";
import { queueSoakTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const database = await localDatabase();

Deno.test({
  name: "while consumers and backends are killed at random every event takes effect once, in its " +
    "user's order, and only poison is dead",
  timeout: 180_000,
  async fn() {
    const report = await queueSoak(database, {
      ...FULL,
      users: 200,
      versions: 8,
      killEveryMs: 800,
      deadlineMs: 120_000,
      seed: Math.floor(Math.random() * 2 ** 31),
    });
    assertEquals(faultsOf(report), [], queueSoakTable(report));
  },
});
