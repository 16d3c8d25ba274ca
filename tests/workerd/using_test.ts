import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";

const database = await localDatabase();

for (const minify of [false, true]) {
  Deno.test(`await using disposes its resources in workerd, ${minify ? "" : "not "}minified`, async () => {
    await using branch = await database.connect();
    await using workerd = await startWorkerd({
      entry: "tests/workerd/using_worker.ts",
      minify,
      bindings: branch.env,
    });
    const response = await fetch(workerd.url);
    assertEquals(await response.json(), {
      leased: 0,
      idle: 1,
      disposed: ["third", "second", "first"],
    });
    assertEquals(await branch.asAdmin("select 1 from users"), []);
  });
}
