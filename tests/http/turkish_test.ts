/** The users API on a database with the letters of Turkish: equality and order are the service's, not the database's. */
import { assertEquals } from "@std/assert";
import { migrate } from "../../src/dev/migrate.ts";
import { localDatabase } from "../support/local_database.ts";
import { turkishDatabase } from "../support/turkish_database.ts";
import { crowdCases, usersCases } from "./users_cases.ts";
import { testApp } from "./test_app.ts";

const database = await localDatabase();

Deno.test("the users API on a Turkish database", async (t) => {
  await using branch = await database.connect();
  await using turkish = await turkishDatabase(branch);
  await migrate(turkish.env);
  assertEquals(await turkish.branch.asAdmin("select lower('I') as i, 'ı' < 'z' as \"isBefore\""), [
    { i: "ı", isBefore: true },
  ]);
  const app = testApp({ db: turkish.branch.open({ DATABASE_POOL_SHED_TARGET: "0" }) });
  for (const { name, run } of [...usersCases, ...crowdCases]) {
    await t.step(name, () => run(app.request));
  }
});
