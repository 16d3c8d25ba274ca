/** Test files share a process, several at a time, so that none may change it for the others. */
import { assert, assertEquals } from "@std/assert";
import { glob } from "node:fs/promises";

/** What belongs to the whole process. A test that needs to change it starts a process of its own. */
const CHANGES_PROCESS =
  /\bDeno\.(?:env\.(?:set|delete)|chdir|umask|addSignalListener|exitCode\s*=|exit\b)|\bprocess\.(?:(?:chdir|umask|exit|set[a-z]*id)\(|exitCode\s*=|env\b[^;]*[^=]=[^=]|on(?:ce)?\(\s*"SIG)/;

/** What runs in a process of its own. */
const PROGRAMS = ["bench", "**/main.ts", "**/*_process.ts", "cost/record.ts"];

Deno.test("no test changes the process that it shares with others", async () => {
  const changing: string[] = [];
  let count = 0;
  const tests = new URL("./", import.meta.url);
  for await (const path of glob("**/*.ts", { cwd: tests, exclude: PROGRAMS })) {
    count++;
    if (CHANGES_PROCESS.test(await Deno.readTextFile(new URL(path, tests)))) changing.push(path);
  }
  assert(count > 300, `only ${count} files were found`);
  assertEquals(changing, []);
});

Deno.test("the search finds what changes a process", () => {
  const changes = [
    `${"Deno"}.env.set("A", "b")`,
    `${"process"}.env.A = "b"`,
    `${"process"}.env["A"] ??= "b"`,
    `${"process"}.exitCode = 1`,
    `${"process"}.on("SIGTERM", end)`,
  ];
  assertEquals(changes.filter((text) => !CHANGES_PROCESS.test(text)), []);
  const harmless = [
    'process.on("warning", note)',
    'process.env["A"] === "b"',
    "child.process.kill()",
  ];
  assertEquals(harmless.filter((text) => CHANGES_PROCESS.test(text)), []);
});
