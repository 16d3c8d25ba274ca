/**
 * Runs the suites of `orm` in a `deno test` of their own. Drizzle and Kysely are in its lock and not in the root's, which
 * the first `deno task dev` downloads as a whole.
 */
import { assert, assertEquals } from "@std/assert";
import { checkNested, runNested } from "../support/nested_run.ts";

const directory = new URL("orm/", import.meta.url);
for (
  const { name, prefix, least } of [
    { name: "Drizzle on sessions", prefix: "drizzle_", least: 150 },
    { name: "Kysely on sessions and databases", prefix: "kysely_", least: 150 },
    { name: "the README's examples of both", prefix: "readme_", least: 2 },
  ]
) {
  Deno.test({
    name: `${name}: at least ${least} cases on a real server`,
    timeout: 300_000,
    async fn() {
      const passed = await runNested(directory, { prefix });
      console.log(`${name}: ${passed} cases`);
      assert(passed >= least, `${passed} cases`);
    },
  });
}

Deno.test({
  name: "the types of Drizzle and Kysely on sessions",
  timeout: 300_000,
  fn: () => checkNested(directory),
});

Deno.test("the root lock has neither Drizzle nor Kysely, and both configs have the same versions", async () => {
  const root = new URL("../../", import.meta.url);
  assert(!/"(?:drizzle-orm|kysely)@/.test(await Deno.readTextFile(new URL("deno.lock", root))));
  const importsOf = async (file: URL): Promise<Record<string, string>> =>
    JSON.parse(await Deno.readTextFile(file)).imports;
  const ours = await importsOf(new URL("deno.json", directory));
  const roots = await importsOf(new URL("deno.json", root));
  const shared = Object.keys(ours).filter((name) => name in roots);
  assertEquals(Object.keys(ours).filter((name) => !(name in roots)), ["drizzle-orm", "kysely"]);
  for (const name of shared) assertEquals(ours[name], roots[name], name);
});
