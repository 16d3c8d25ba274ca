/** Events per second from the queue to their effect: ours against pg-boss and graphile-worker, on the same PostgreSQL. */
import { parseSettings } from "../../src/settings/settings.ts";
import { localDatabase } from "../support/local_database.ts";
import { testServer } from "../support/test_server.ts";
import { queueGraphile } from "./contenders/queue_graphile.ts";
import { queueOurs } from "./contenders/queue_ours.ts";
import { queuePgBoss } from "./contenders/queue_pg_boss.ts";
import { runPaired } from "./paired.ts";
import { CONCURRENCY, type QueueContender } from "./queue_contender.ts";
import { benchFlood, type FloodFigures } from "./queue_flood.ts";
import { relayThread } from "./relay_thread.ts";
import { type Spread, spreadOf } from "./spread.ts";

export const EVENTS = 2_000;

export interface QueueFigures {
  readonly name: string;
  readonly eventsPerSecond: number;
  /** Its time divided by ours in the same round: above 1, ours is faster. */
  readonly ratio: Spread;
  readonly rounds: readonly number[];
}

export async function benchQueue(): Promise<
  { readonly contenders: readonly QueueFigures[]; readonly flood: FloodFigures }
> {
  const { port } = await testServer();
  const database = await localDatabase();
  await using branch = await database.connect();
  using relay = await relayThread({ port, latencyMs: 0 });
  const db = branch.open({
    DATABASE_WS_PROXY: relay.url,
    DATABASE_POOL_SIZE: `${CONCURRENCY}`,
    DATABASE_MAX_OVERFLOW: "0",
  });
  const url = branch.envOf("postgres")["DATABASE_URL"]!;
  const contenders: QueueContender[] = [
    queueOurs(db, branch),
    await queuePgBoss(url, { together: false }),
    await queuePgBoss(url, { together: true }),
    await queueGraphile(url),
  ];
  const rounds = await runPaired(contenders.map((contender) => () => contender.drain()), {
    warmUpRounds: 1,
    rounds: 12,
    prepare: (k) => contenders[k]!.fill(EVENTS),
  });
  const requests = branch.open({ DATABASE_WS_PROXY: relay.url });
  const flood = await benchFlood(requests, branch, parseSettings(branch.env).queue);
  await Promise.all(contenders.map((contender) => contender.close()));
  const figures = contenders.map(({ name }, k) => ({
    name,
    eventsPerSecond: EVENTS * 1_000 / spreadOf(rounds.map((round) => round[k]!)).median,
    ratio: spreadOf(rounds.map((round) => round[k]! / round[0]!)),
    rounds: rounds.map((round) => round[k]!),
  }));
  return { contenders: figures, flood };
}
