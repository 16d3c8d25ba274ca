/**
 * Runs the suites of `orm` in a `deno test` of their own. Drizzle and Kysely are in its lock and not in the root's, which
 * the first `deno task dev` downloads as a whole.
 */
import { assert, assertEquals } from "@std/assert";
import { TEST_SERVER_PID, testServer } from "../support/test_server.ts";

const directory = new URL("orm/", import.meta.url);
const config = new URL("deno.json", directory).pathname;

/** The tests' files whose names begin with `prefix`. */
function filesOf(prefix: string): string[] {
  const names = Array.from(Deno.readDirSync(directory), ({ name }) => name);
  return names.filter((name) => name.startsWith(prefix) && name.endsWith("_test.ts")).sort();
}

async function run(args: readonly string[]): Promise<{ success: boolean; output: string }> {
  // The subprocess shares the server, which must not end with it.
  await testServer();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: directory,
    env: { NO_COLOR: "1", [TEST_SERVER_PID]: String(Deno.pid) },
  }).output();
  const decoder = new TextDecoder();
  return { success, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** From the last line of `deno test`: `ok | 226 passed | 0 failed (6s)`, with other counts where there are any. */
function countsOf(output: string): Record<string, number> {
  const [line] = output.match(/^(?:ok|FAILED) \| .*$/m) ?? [""];
  const counts = line.matchAll(/(\d+) (passed|failed|ignored|filtered out|measured)/g);
  return Object.fromEntries(Array.from(counts, ([, count, name]) => [name, Number(count)]));
}

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
      const args = ["test", "--allow-all", `--config=${config}`, ...filesOf(prefix)];
      const { success, output } = await run(args);
      assert(success, output);
      const { passed = 0, ...others } = countsOf(output);
      console.log(`${name}: ${passed} cases`);
      assertEquals(others, { failed: 0 });
      assert(passed >= least, `${passed} cases`);
    },
  });
}

Deno.test({
  name: "the types of Drizzle and Kysely on sessions",
  timeout: 300_000,
  async fn() {
    const { success, output } = await run(["check", `--config=${config}`, "."]);
    assert(success, output);
  },
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
