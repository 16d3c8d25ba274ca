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

for (const [name, prefix] of [["Drizzle", "drizzle_"], ["Kysely", "kysely_"]] as const) {
  Deno.test({
    name: `${name} on sessions: at least 150 cases on a real server`,
    timeout: 300_000,
    async fn() {
      const { success, output } = await run([
        "test",
        "--allow-all",
        `--config=${config}`,
        ...filesOf(prefix),
      ]);
      assert(success, output);
      const { passed = 0, ...others } = countsOf(output);
      console.log(`${name}: ${passed} cases`);
      assertEquals(others, { failed: 0 });
      assert(passed >= 150, `${passed} cases`);
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
