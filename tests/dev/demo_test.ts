import { assert, assertEquals, assertMatch } from "@std/assert";
import { play, type Step } from "../../src/dev/demo/play.ts";
import { steps } from "../../src/dev/demo/steps.ts";
import { createWorld } from "../../src/dev/demo/world.ts";

const root = new URL("../..", import.meta.url);

/** A demonstration is to be over within 60 s. */
function demoTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, timeout: 60_000 });
}

async function demo(...args: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "demo", ...args],
    cwd: root,
    // It has a PostgreSQL of its own, whatever the environment names.
    env: { DATABASE_URL: "postgresql://nobody:nothing@127.0.0.1:1/none", DATABASE_POOL_SIZE: "no" },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, lines: text!.trimEnd().split("\n"), errors: errors! };
}

demoTest("deno task demo plays every step and leaves no connection open", async () => {
  const { code, lines, errors } = await demo();
  const text = lines.join("\n");
  assertEquals(code, 0, text + errors);
  assertEquals(lines.at(-1), "0 connections left open");
  assertMatch(lines.at(-2)!, /^12 of 12 steps did what they say \(\d+\.\d s\)$/);
  const played = lines.flatMap((line) => /^ok ([\w-]+): /.exec(line)?.[1] ?? []);
  assertEquals(played, steps.map(({ name }) => name));
  assertEquals(lines.filter((line) => line.startsWith("    pg_stat_activity: ")).length, 12);
  assert(!text.includes("\x1b") && !text.includes("\r"), "plain text where no terminal is");
});

demoTest("a step that keeps a connection is named, and ends the demonstration with 1", async () => {
  const { code, lines } = await demo("--leak", "commit");
  assertEquals(code, 1);
  assertEquals(lines.slice(-3), [
    "The step commit leaked 1 connection",
    `Not played after that: ${steps.slice(1).map(({ name }) => name).join(", ")}`,
    "1 connection left open",
  ]);
});

demoTest("deno task demo --json prints one document, of a leak as well", async () => {
  const { code, lines } = await demo("--json", "--leak", "commit");
  assertEquals(code, 1);
  const { ok, connectionsLeft, steps: [commit], notPlayed } = JSON.parse(lines.join("\n"));
  assertEquals([ok, connectionsLeft, notPlayed.length], [false, 1, steps.length - 1]);
  const broken = commit.checks.filter(({ holds }: { holds: boolean }) => !holds);
  assertEquals(broken, [
    { claim: "Every connection is given back", seen: 1, wanted: 0, holds: false },
    { claim: "None is left once the pool is closed", seen: 1, wanted: 0, holds: false },
  ]);
  assertEquals(commit.activity, { "idle in transaction": 1 });
});

demoTest(
  "a step to leak in that there is not is refused, with the names of those there are",
  async () => {
    const { code, errors } = await demo("--leak", "commmit");
    assertEquals(code, 1);
    assertMatch(errors, /^Cannot leak .* current value is commmit; use commit, rollback, /m);
  },
);

demoTest(
  "a step that fails, or that sees other than it says, did not do what it says",
  async () => {
    await using world = await createWorld();
    const outcomeOf = async (run: Step["run"]) => {
      const { ok, checks } = await play({ name: "", shows: "", run }, world, { leaks: false });
      const broken = checks.filter(({ holds }) => !holds);
      return [ok, ...broken.map(({ claim, seen, wanted }) => [claim, seen, wanted])];
    };
    assertEquals(await outcomeOf(() => Promise.reject(new Error("a bug"))), [
      false,
      ["It ends without an error", "Error: a bug", "none"],
    ]);
    const sees = (seen: unknown): Step["run"] => ({ check }) =>
      Promise.resolve(check("Two", seen, 2));
    assertEquals(await outcomeOf(sees(1)), [false, ["Two", 1, 2]]);
    assertEquals(await outcomeOf(sees(2)), [true]);
  },
);
