/** The explorer's short form, and what it sees if the layer's surroundings cheat. */
import { assert, assertEquals } from "@std/assert";
import { pick, seededRandom } from "../random.ts";
import { textOf } from "../report.ts";
import { violationsOf } from "../verdict.ts";
import { type CheatName, CHEATS } from "./cheats.ts";
import { explore, explorerReport, scenesOf } from "./explorer.ts";
import { runOnce, watchRejections } from "./oracle.ts";
import { drawn, everySingle, nameOf, planOf, seedOf } from "./plans.ts";

const seed = Math.floor(Math.random() * 2 ** 31);

Deno.test({
  name:
    "explorer: whatever strikes at whichever step, callers are told what is true, values stay " +
    "with their callers, and nothing is left behind",
  timeout: 120_000,
  async fn() {
    const lines: string[] = [];
    const options = { seed, systematic: false, leastDrawn: 10_500, forMs: 0 };
    const report = explorerReport(await explore(options, (line) => lines.push(line)));
    assertEquals(violationsOf(report), [], `${lines.join("\n")}\n${textOf(report)}`);
  },
});

/** By which violation each cheat is found. */
const FOUND_AS: Readonly<Record<CheatName, RegExp>> = {
  blind: /was told success.*; its rows are a,a/,
  none: /one lost connection was not mended: .*CommitOutcomeUnknownError/,
  incarnation: /was told success.*; its rows are missing/,
  cluster: /was told success.*; its rows are a,a/,
  dirty: /caller 1, unit 1 was told success.*; its rows are x/,
  leak: /the pool is not at rest: {"leased":1/,
  reuse: /a cancel request of .* met /,
  mixed: /was given ".*" for /,
  deaf: /sent after the abort of .*commit/,
};

/** Some cheats show only if two units meet, or after one of eleven events. */
const MOST_RUNS = 20_000;

for (const cheat of CHEATS) {
  Deno.test({
    name: `explorer: the cheat "${cheat}" is found`,
    timeout: 120_000,
    async fn() {
      using _ = watchRejections();
      const scenes = await scenesOf(seed);
      const random = seededRandom(seed);
      for (let runs = 0; runs < MOST_RUNS; runs++) {
        const plan = drawn(pick(scenes, random)!, random);
        const { violations } = await runOnce({ ...plan, seed: seedOf(seed, nameOf(plan)), cheat });
        if (violations.some((violation) => FOUND_AS[cheat].test(violation))) return;
      }
      assert(false, `not found in ${MOST_RUNS} runs with the seed ${seed}`);
    },
  });
}

Deno.test("explorer: a run is repeated, step by step, by its name and the seed", async () => {
  const scenes = await scenesOf(seed);
  const random = seededRandom(seed);
  for (let count = 0; count < 50; count++) {
    const plan = drawn(pick(scenes, random)!, random);
    const name = nameOf(plan);
    const first = await traceOf(name);
    assert(first.length > 0);
    assertEquals(await traceOf(name), first, name);
  }
});

async function traceOf(name: string): Promise<string[]> {
  const lines: string[] = [];
  const plan = planOf(name)!;
  await runOnce({ ...plan, seed: seedOf(seed, name), trace: (line) => lines.push(line) });
  return lines;
}

Deno.test("explorer: every event strikes at every step of every program", async () => {
  const scenes = await scenesOf(seed);
  const points = scenes.reduce((sum, scene) => sum + scene.points, 0);
  const names = new Set(everySingle(scenes).map(nameOf));
  assertEquals(names.size, 11 * points);
  assert(points > 5_000, `${points} points`);
});
