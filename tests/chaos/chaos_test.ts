/** The short forms of `deno task chaos`, under the same verdicts. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { chaos, scaled } from "./chaos.ts";
import { contention, contentionFaults } from "./contention.ts";
import { HOSTS } from "./hosts.ts";
import { storm, stormFaults, stormRows } from "./storm.ts";
import { aligned, chaosTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

for (const host of HOSTS) {
  Deno.test({
    name: `on ${host} nothing is lost, done twice, told falsely or left behind, whatever breaks`,
    timeout: 180_000,
    async fn() {
      const report = await chaos({
        ...scaled(6_000),
        atMostMs: 60_000,
        host,
        seed: Math.floor(Math.random() * 2 ** 31),
        faultEveryMs: 60,
        stopEveryMs: 3_000,
        leastUnits: 100,
        leastFaults: 30,
      });
      assertEquals(faultsOf(report), [], chaosTable(report));
    },
  });
}

Deno.test({
  name: "clients at one counter, kept apart by serializable alone, lose no increment",
  timeout: 120_000,
  async fn() {
    const report = await contention(await localDatabase(), { clients: 16, increments: 10 });
    assertEquals(contentionFaults(report), []);
  },
});

Deno.test({
  name: "while the database is away retries do not become a storm, and its return is seen",
  timeout: 120_000,
  async fn() {
    const report = await storm({ goneMs: 2_000, callEveryMs: 5 });
    assertEquals(stormFaults(report), [], aligned(stormRows(report)));
  },
});
