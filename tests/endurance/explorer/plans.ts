/** Which events strike which program at which points: each of them alone, or drawn at random. */
import { pick, type Random } from "../random.ts";
import { type Program, PROGRAMS } from "./programs.ts";
import type { RunPlan } from "./run.ts";
import { EVENTS, type StrikeEvent } from "./strikes.ts";
import type { Strike } from "./timeline.ts";
import { type World, WORLDS } from "./worlds.ts";

/** A program on a pool, and how many points it passes if nothing strikes. */
export interface Scene {
  readonly program: Program;
  readonly world: World;
  readonly points: number;
}

export type Plan = Pick<RunPlan, "program" | "world" | "strikes">;

export function allScenes(): Omit<Scene, "points">[] {
  return PROGRAMS.flatMap((program) => WORLDS.map((world) => ({ program, world })));
}

/** Every event at every point of every scene, alone. */
export function* everySingle(scenes: readonly Scene[]): Generator<Plan> {
  for (const { program, world, points } of scenes) {
    for (let point = 1; point <= points; point++) {
      for (const event of EVENTS) {
        yield { program, world, strikes: [{ point, event, turns: 0 }] };
      }
    }
  }
}

/** A second event may strike behind the last point of the plain run: recovery takes more points. */
const MORE_POINTS = 20;
/** More turns of the microtask queue than the layer takes between two messages. */
const TURNS_MAX = 12;

/** One event or two. Half of them strike some turns of the microtask queue after their point. */
export function drawn({ program, world, points }: Scene, random: Random): Plan {
  const strikeWithin = (points: number): Strike => ({
    point: 1 + Math.floor(random() * points),
    event: pick(EVENTS, random)!,
    turns: random() < 0.5 ? 0 : 1 + Math.floor(random() * TURNS_MAX),
  });
  const first = strikeWithin(points);
  const strikes = random() < 0.6 ? [first] : [first, strikeWithin(points + MORE_POINTS)];
  return { program, world, strikes };
}

/** As `--only` takes it. */
export function nameOf({ program, world, strikes }: Plan): string {
  const events = strikes.map(({ point, event, turns }) => `${event}@${point}+${turns}`);
  return [program.name, world.name, ...events].join(" | ");
}

/** The plan of a name; `undefined` if there is none. */
export function planOf(name: string): Plan | undefined {
  const [programName, worldName, ...events] = name.split(" | ");
  const program = PROGRAMS.find((each) => each.name === programName);
  const world = WORLDS.find((each) => each.name === worldName);
  const strikes = events.map((text) => {
    const [, event, point, turns] = /^(\w+)@(\d+)\+(\d+)$/.exec(text) ?? [];
    return { event: event as StrikeEvent, point: Number(point), turns: Number(turns) };
  });
  const isKnown = strikes.every(({ event }) => EVENTS.includes(event));
  return program && world && isKnown ? { program, world, strikes } : undefined;
}

/** A run's own seed, so that it can be repeated alone. https://en.wikipedia.org/wiki/Fowler–Noll–Vo_hash_function */
export function seedOf(seed: number, name: string): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
  return hash >>> 0;
}
