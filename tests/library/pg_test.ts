/** Runs the suite of `pg`: libraries from npm on this layer's pool, and node-postgres itself for comparison. */
import { assert } from "@std/assert";
import { checkNested, runNested } from "../support/nested_run.ts";

const directory = new URL("pg/", import.meta.url);

Deno.test({
  name: "libraries for node-postgres run on the layer's pool, and get what node-postgres gives",
  timeout: 300_000,
  async fn() {
    const passed = await runNested(directory);
    assert(passed >= 17, `${passed} passed`);
  },
});

Deno.test({
  name: "the types of the suite of pg",
  timeout: 300_000,
  fn: () => checkNested(directory),
});
