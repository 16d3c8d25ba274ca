import { assert, assertEquals, assertMatch } from "@std/assert";
import { startDemoEnvironment } from "../../../src/dev/demo/environment.ts";
import { runScenario, type Scenario } from "../../../src/dev/demo/runner.ts";
import { scenarios } from "../../../src/dev/demo/scenarios.ts";

const root = new URL("../../..", import.meta.url);

function demoTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

async function demo(...args: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "demo", ...args],
    cwd: root,
    // The demonstration must ignore both and use its own PostgreSQL.
    env: { DATABASE_URL: "postgresql://nobody:nothing@127.0.0.1:1/none", DATABASE_POOL_SIZE: "no" },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, lines: text!.trimEnd().split("\n"), errors: errors! };
}

demoTest("deno task demo runs every scenario and leaves no connection open", async () => {
  const { code, lines, errors } = await demo();
  const text = lines.join("\n");
  assertEquals(code, 0, text + errors);
  assertEquals(lines.at(-1), "0 connections left open");
  assertMatch(lines.at(-2)!, /^12 of 12 scenarios passed \(\d+\.\d s\)$/);
  const run = lines.flatMap((line) => /^ok ([\w-]+): /.exec(line)?.[1] ?? []);
  assertEquals(run, scenarios.map(({ name }) => name));
  assertEquals(lines.filter((line) => line.startsWith("    pg_stat_activity: ")).length, 12);
  assert(
    !text.includes("\x1b") && !text.includes("\r"),
    "no terminal escapes when the output is not a terminal",
  );
});

demoTest(
  "a scenario that leaks a connection is named, ends the demonstration, and makes the exit code 1",
  async () => {
    const { code, lines } = await demo("--leak", "commit");
    assertEquals(code, 1);
    assertEquals(lines.slice(-3), [
      "The scenario commit leaked 1 connection",
      `Not run after that: ${scenarios.slice(1).map(({ name }) => name).join(", ")}`,
      "1 connection left open",
    ]);
  },
);

demoTest("deno task demo --json prints one JSON document, also after a leak", async () => {
  const { code, lines } = await demo("--json", "--leak", "commit");
  assertEquals(code, 1);
  const { ok, connectionsLeft, scenarios: [commit], notRun } = JSON.parse(lines.join("\n"));
  assertEquals([ok, connectionsLeft, notRun.length], [false, 1, scenarios.length - 1]);
  const broken = commit.checks.filter(({ holds }: { holds: boolean }) => !holds);
  assertEquals(broken, [
    { claim: "Every connection is given back", seen: 1, wanted: 0, holds: false },
    { claim: "No connection is left after the pool is closed", seen: 1, wanted: 0, holds: false },
  ]);
  assertEquals(commit.activity, { "idle in transaction": 1 });
});

demoTest(
  "deno task demo --leak refuses an unknown scenario and lists the known ones",
  async () => {
    const { code, errors } = await demo("--leak", "commmit");
    assertEquals(code, 1);
    assertMatch(errors, /^Cannot leak .* current value is commmit; use commit, rollback, /m);
  },
);

demoTest(
  "a scenario that throws, or whose check does not hold, has failed",
  async () => {
    await using environment = await startDemoEnvironment();
    const outcomeOf = async (run: Scenario["run"]) => {
      const { ok, checks } = await runScenario({ name: "", shows: "", run }, environment, {
        leaks: false,
      });
      const broken = checks.filter(({ holds }) => !holds);
      return [ok, ...broken.map(({ claim, seen, wanted }) => [claim, seen, wanted])];
    };
    assertEquals(await outcomeOf(() => Promise.reject(new Error("a bug"))), [
      false,
      ["The scenario ends without an error", "Error: a bug", "none"],
    ]);
    const sees = (seen: unknown): Scenario["run"] => ({ check }) =>
      Promise.resolve(check("Two", seen, 2));
    assertEquals(await outcomeOf(sees(1)), [false, ["Two", 1, 2]]);
    assertEquals(await outcomeOf(sees(2)), [true]);
  },
);
