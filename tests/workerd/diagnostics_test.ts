import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";

const database = await localDatabase();

Deno.test("errors name their statement and their author's code in workerd, notices arrive, and db.run runs", async () => {
  await using branch = await database.connect();
  await using workerd = await startWorkerd({
    entry: "tests/workerd/diagnostics_worker.ts",
    bindings: branch.envOf("postgres"),
  });
  const response = await fetch(workerd.url);
  assertEquals(await response.json(), {
    notices: ["noted"],
    failures: [
      { statement: "select 1 / $1::int", sqlState: "22012", showsAuthor: true },
      { statement: "vacuum nowhere", sqlState: "42P01", showsAuthor: true },
    ],
    leased: 0,
  });
  assertEquals(workerd.takeUncaught(), []);
});
