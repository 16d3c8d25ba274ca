/** For contrast: Neon's own pool in a module variable, as on any other runtime. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";

const database = await localDatabase();

Deno.test("a Worker with a pool in a module variable hangs in every second request", async () => {
  await using branch = await database.connect();
  await using workerd = await startWorkerd({
    entry: "tests/workerd/naive_worker.ts",
    bindings: branch.env,
  });
  const answers: string[] = [];
  for (let count = 0; count < 4; count++) {
    const response = await fetch(workerd.url, { signal: AbortSignal.timeout(20_000) });
    answers.push((await response.text()).split(" because ")[0]!);
  }
  const hung = "Error: The Workers runtime canceled this request";
  assertEquals(answers, ['[{"one":1}]', hung, '[{"one":1}]', hung]);
});
