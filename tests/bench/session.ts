/** Our session against Neon's Pool and Drizzle, on a real server at several distances. */
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
  /** Delay between the service and the server, in each direction. */
  readonly latencyMs: number;
  /** Concurrent units. */
  readonly atOnce: number;
  /** Units of each way in each round. */
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
  /** The latency of one unit. */
  readonly msPerUnit: Spread;
  readonly unitsPerSecond: number;
  /** Its time divided by that of the first, which is ours, in the same round: above 1, ours is faster. */
  readonly ratio: Spread;
  /** Milliseconds of each round of `units`. */
  readonly rounds: readonly number[];
}

/** Connections of each contender. Neon's Pool is one contender, for all of its ways. */
export const CONNECTIONS = 16;

/** At 5 and 20 ms one unit at a time shows its latency. At 0 ms as many units as there are connections show their work. */
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
    // Connections may have been closed as idle during the turns of other contenders.
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
