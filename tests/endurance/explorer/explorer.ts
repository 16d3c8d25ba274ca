/**
 * Explores the connection layer: the real pool, sessions, retry and resolution of lost COMMITs, on a model of a server
 * and its network. At every point of short programs events strike, one or two in a run; an oracle judges each run.
 */
import { seededRandom } from "../random.ts";
import { type Scenario, UsageError } from "../scenario.ts";
import { atLeast, type Measure, zero } from "../verdict.ts";
import { type CheatName, CHEATS } from "./cheats.ts";
import { runOnce, type RunResult, type ToldKind, watchRejections } from "./oracle.ts";
import {
  allScenes,
  drawn,
  everySingle,
  nameOf,
  type Plan,
  planOf,
  type Scene,
  seedOf,
} from "./plans.ts";
import { EVENTS, type StrikeEvent } from "./strikes.ts";

export interface ExplorerOptions {
  readonly seed: number;
  /** Whether each event strikes at each point alone, before runs are drawn. */
  readonly systematic: boolean;
  /** How many runs are drawn at least. */
  readonly leastDrawn: number;
  /** For how long runs are drawn. */
  readonly forMs: number;
  readonly cheat?: CheatName | undefined;
  /** The name of the only run, which then prints its steps. */
  readonly only?: string | undefined;
}

/** How many failed runs are printed as they are found. */
const FAILURES_MAX = 20;
const RUNS_PER_LINE = 20_000;

export const explorerScenario: Scenario<ExplorerOptions> = {
  flags: ["minutes", "seed", "cheat", "only"],
  options: (flags) => ({
    seed: flags.seed(),
    systematic: true,
    leastDrawn: 1_000,
    forMs: flags.positive("minutes", { otherwise: 5, max: 600 }) * 60_000,
    cheat: flags.oneOf("cheat", CHEATS),
    only: flags.text("only"),
  }),
  run: async (options, onProgress) => explorerReport(await explore(options, onProgress)),
};

export type ExplorerResult = Awaited<ReturnType<typeof explore>>;

export async function explore(options: ExplorerOptions, onProgress: (line: string) => void) {
  using _ = watchRejections();
  const startedMs = performance.now();
  const tally = new Tally();
  const trace = options.only === undefined ? undefined : onProgress;
  for await (const plan of plans(options)) {
    const name = nameOf(plan);
    const { seed, cheat } = options;
    const result = await runOnce({ ...plan, seed: seedOf(seed, name), cheat, trace });
    tally.add(name, result, onProgress);
  }
  return { ...options, tally, seconds: (performance.now() - startedMs) / 1_000 };
}

async function* plans(options: ExplorerOptions): AsyncGenerator<Plan> {
  const { seed, systematic, leastDrawn, forMs, only } = options;
  if (only !== undefined) return yield planNamed(only);
  const scenes = await scenesOf(seed);
  for (const { program, world } of scenes) yield { program, world, strikes: [] };
  if (systematic) yield* everySingle(scenes);
  const random = seededRandom(seed);
  const endsAtMs = performance.now() + forMs;
  for (let count = 0; count < leastDrawn || performance.now() < endsAtMs; count++) {
    yield drawn(scenes[Math.floor(random() * scenes.length)]!, random);
  }
}

function planNamed(name: string): Plan {
  const plan = planOf(name);
  if (plan === undefined) throw new UsageError(`Cannot run as there is no such run: ${name}`);
  return plan;
}

/** Counts the points of each. */
export async function scenesOf(seed: number): Promise<Scene[]> {
  const scenes: Scene[] = [];
  for (const { program, world } of allScenes()) {
    const { points } = await runOnce({ program, world, strikes: [], seed });
    scenes.push({ program, world, points });
  }
  return scenes;
}

class Tally {
  runs = 0;
  points = 0;
  resolved = 0;
  failed = 0;
  readonly struck = new Map<StrikeEvent, number>(EVENTS.map((event) => [event, 0]));
  readonly told = new Map<ToldKind, number>();
  /** The first runs that failed. */
  readonly failures: { readonly name: string; readonly violations: readonly string[] }[] = [];

  add(name: string, result: RunResult, onProgress: (line: string) => void): void {
    if (++this.runs % RUNS_PER_LINE === 0) onProgress(`${this.runs} runs, ${this.failed} failed`);
    this.points += result.points;
    this.resolved += result.resolved;
    for (const event of result.struck) this.struck.set(event, this.struck.get(event)! + 1);
    for (const kind of result.told) this.told.set(kind, (this.told.get(kind) ?? 0) + 1);
    if (result.violations.length === 0) return;
    this.failed++;
    if (this.failures.length === FAILURES_MAX) return;
    this.failures.push({ name, violations: result.violations });
    onProgress(`--only ${JSON.stringify(name)}`);
    for (const violation of result.violations) onProgress(`    ${violation}`);
  }
}

export function explorerReport(result: ExplorerResult): Measure[] {
  const { seed, only, seconds, tally } = result;
  const { runs, points, resolved, failed, struck, told, failures } = tally;
  const least = (count: number) => atLeast(only === undefined ? count : 0);
  return [
    ["seed", seed],
    ["runs", runs],
    ["runs a second", runs / seconds],
    ["points passed in a run", points / runs],
    ...[...struck].map(([event, count]): Measure => [`struck by ${event}`, count, least(100)]),
    ...[...told].map(([kind, count]): Measure => [`units told: ${kind}`, count]),
    ["lost COMMITs whose outcome was found out", resolved, least(100)],
    ["runs in which a rule was broken", failed, zero],
    ...failures.slice(0, 1).flatMap(({ name, violations }): Measure[] => [
      ["the first of them", `--seed ${seed} --only ${JSON.stringify(name)}`],
      ...violations.map((text): Measure => ["", text]),
    ]),
  ];
}
