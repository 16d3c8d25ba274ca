/** The short form of `deno task soak`, under the same verdict. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { FULL, soak } from "./soak.ts";
import { soakTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const database = await localDatabase();

Deno.test({
  name: "while backends are terminated at random no unit fails that could be run again, none is " +
    "done twice, and none outlives the pool",
  timeout: 120_000,
  async fn() {
    const report = await soak(database, {
      ...FULL,
      sessions: 1_500,
      killEveryMs: 200,
      seed: Math.floor(Math.random() * 2 ** 31),
    });
    assertEquals(faultsOf(report), [], soakTable(report));
  },
});
