/** Our session against what people write today, on a real server at several distances. */
import type { LocalBranch } from "../support/local_database.ts";
import { localDatabase } from "../support/local_database.ts";
import { testServer } from "../support/test_server.ts";
import { sessionDrizzle } from "./contenders/session_drizzle.ts";
import { sessionNeon } from "./contenders/session_neon.ts";
import { sessionOurs } from "./contenders/session_ours.ts";
import { type Round, runPaired } from "./paired.ts";
import { relayThread } from "./relay_thread.ts";
import { newUser, type Place, type Unit, UNITS, type Way } from "./session_contender.ts";
import { type Spread, spreadOf } from "./spread.ts";

export interface Distance {
  /** Between the service and the server, one way. */
  readonly latencyMs: number;
  /** Units under way at any time. */
  readonly atOnce: number;
  /** In each round, of each way. */
  readonly units: number;
  readonly warmUpRounds: number;
  readonly rounds: number;
}

export interface UnitFigures extends Distance {
  readonly unit: Unit;
  readonly ways: readonly WayFigures[];
}

export interface WayFigures {
  readonly name: string;
  /** How long a unit takes whoever asks for it. */
  readonly msPerUnit: Spread;
  readonly unitsPerSecond: number;
  /** Its time divided by the first one's, ours, in the same round: above 1, ours is faster. */
  readonly ratio: Spread;
  /** Milliseconds of each round, in which `units` were done. */
  readonly rounds: readonly number[];
}

/** Of each contender. Neon's Pool is one, whichever way it is used. */
export const CONNECTIONS = 16;

/** Far away, one unit shows how long somebody waits; next door, as many as there are connections show the work in it. */
const DISTANCES: readonly Distance[] = [
  { latencyMs: 0, atOnce: CONNECTIONS, units: 160, warmUpRounds: 3, rounds: 20 },
  { latencyMs: 5, atOnce: 1, units: 2, warmUpRounds: 1, rounds: 20 },
  { latencyMs: 20, atOnce: 1, units: 2, warmUpRounds: 1, rounds: 20 },
];

export async function benchSession(): Promise<UnitFigures[]> {
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  const { id, email, name } = newUser();
  await branch.asAdmin(
    `insert into users (id, email, name) values ('${id}', '${email}', '${name}')`,
  );
  const figures: UnitFigures[] = [];
  for (const distance of DISTANCES) {
    using relay = await relayThread({ port, latencyMs: distance.latencyMs });
    const env = { ...branch.env, DATABASE_WS_PROXY: relay.url };
    const place = { env, connections: CONNECTIONS, knownId: id };
    figures.push(...await benchAt(distance, { branch, place }));
  }
  return figures;
}

async function benchAt(
  distance: Distance,
  { branch, place }: { branch: LocalBranch; place: Place },
): Promise<UnitFigures[]> {
  const db = branch.open({
    ...place.env,
    DATABASE_POOL_SIZE: `${place.connections}`,
    DATABASE_MAX_OVERFLOW: "0",
  });
  const contenders = [sessionOurs(db, place), sessionNeon(place), sessionDrizzle(place)];
  const ways = contenders.flatMap(({ ways }) => ways);
  const figures: UnitFigures[] = [];
  for (const unit of UNITS) {
    const those = ways.filter((way) => way.unit === unit);
    console.error(`measuring: ${unit}, ${distance.latencyMs} ms one way`);
    figures.push(figuresOf({ ...distance, unit }, those, await run(those, distance)));
  }
  await Promise.all(contenders.map((contender) => contender.close()));
  return figures;
}

function run(ways: readonly Way[], { atOnce, units, ...turns }: Distance): Promise<Round[]> {
  return runPaired(ways.map((way) => () => repeat(way, { atOnce, units })), {
    ...turns,
    // While others had their turns, connections may have cooled down.
    prepare: (k) => repeat(ways[k]!, { atOnce, units: atOnce }),
  });
}

async function repeat(
  way: Way,
  { atOnce, units }: { atOnce: number; units: number },
): Promise<void> {
  let begun = 0;
  const work = async () => {
    while (begun++ < units) await way.run();
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function figuresOf(
  what: Distance & { readonly unit: Unit },
  ways: readonly Way[],
  rounds: readonly Round[],
): UnitFigures {
  const { units, atOnce } = what;
  return {
    ...what,
    ways: ways.map(({ name }, k) => {
      const msPerUnit = spreadOf(rounds.map((round) => round[k]! * atOnce / units));
      return {
        name,
        msPerUnit,
        unitsPerSecond: atOnce * 1_000 / msPerUnit.median,
        ratio: spreadOf(rounds.map((round) => round[k]! / round[0]!)),
        rounds: rounds.map((round) => round[k]!),
      };
    }),
  };
}
