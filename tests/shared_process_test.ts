/** Test files share a process, several at a time, so that none may change it for the others. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";

const ROOT = import.meta.dirname!;

/** What belongs to the whole process. A test that needs to change it starts a process of its own. */
const CHANGES_PROCESS =
  /\bDeno\.(?:env\.(?:set|delete)|chdir|umask|addSignalListener|exitCode\s*=|exit\b)/;

async function* testsIn(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isDirectory && !name.startsWith(".")) yield* testsIn(path);
    else if (name.endsWith("_test.ts")) yield path;
  }
}

Deno.test("no test changes the process that it shares with others", async () => {
  const changing: string[] = [];
  let count = 0;
  for await (const path of testsIn(ROOT)) {
    count++;
    if (CHANGES_PROCESS.test(await Deno.readTextFile(path))) changing.push(path);
  }
  assert(count > 100, `only ${count} test files were found`);
  assertEquals(changing, []);
  assert(CHANGES_PROCESS.test(`${"Deno"}.env.set("A", "b")`));
});
