/**
 * Runs a folder of tests with a `deno.json` of its own. Its packages are in its lock and not in the root's, which the
 * first `deno task dev` downloads as a whole.
 */
import { assert, assertEquals } from "@std/assert";
import { TEST_SERVER_PID, testServer } from "./test_server.ts";

/**
 * Runs the tests whose files begin with `prefix`, and returns how many passed. Throws with their output if one did not pass
 * or was ignored. Checks no types: `checkNested` does it for the whole folder at once.
 */
export async function runNested(
  directory: URL,
  { prefix = "" }: { prefix?: string } = {},
): Promise<number> {
  const names = Array.from(Deno.readDirSync(directory), ({ name }) => name);
  const files = names.filter((name) => name.startsWith(prefix) && name.endsWith("_test.ts")).sort();
  const output = await deno(
    ["test", "--allow-all", "--no-check", `--config=${configOf(directory)}`, ...files],
    directory,
  );
  const [line] = output.match(/^(?:ok|FAILED) \| .*$/m) ?? [""];
  // `ok | 226 passed | 0 failed (6s)`, with other counts where there are any.
  const counts = line.matchAll(/(\d+) (passed|failed|ignored|filtered out|measured)/g);
  const { passed = 0, ...others } = Object.fromEntries(
    Array.from(counts, ([, count, name]) => [name, Number(count)]),
  );
  assertEquals(others, { failed: 0 });
  return passed;
}

/** Checks the types of its files. Throws with the errors. */
export async function checkNested(directory: URL): Promise<void> {
  await deno(["check", `--config=${configOf(directory)}`, "."], directory);
}

function configOf(directory: URL): string {
  return new URL("deno.json", directory).pathname;
}

async function deno(args: readonly string[], cwd: URL): Promise<string> {
  // The subprocess shares the server, which must not end with it.
  await testServer();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", [TEST_SERVER_PID]: String(Deno.pid) },
  }).output();
  const decoder = new TextDecoder();
  const output = decoder.decode(stdout) + decoder.decode(stderr);
  assert(success, output);
  return output;
}
