/** Many clients at one counter: each increment reads it and writes one more, under serializable isolation alone. */
import { type Database, NeonDriver, sql } from "../../src/db/mod.ts";
import { RetryBudget } from "../../src/db/time/retry.ts";
import { DatabaseWebSocket } from "../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { localDatabase } from "../support/local_database.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { latenciesOf } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { type Measure, zero } from "./verdict.ts";

export interface ContentionOptions {
  readonly clients: number;
  /** Increments of each client. */
  readonly increments: number;
}

export type ContentionResult = Awaited<ReturnType<typeof contention>>;

/** All clients but one fail each time, so that an increment may need hundreds of attempts. */
const ATTEMPTS = 10_000;

/** Allows every retry: the load that retries make is what this scenario measures. */
class UnlimitedBudget extends RetryBudget {
  override withdraw(): boolean {
    return true;
  }
}

export const contentionScenario: Scenario<ContentionOptions> = {
  flags: [],
  options: () => ({ clients: 32, increments: 100 }),
  run: async (options) => contentionReport(await contention(options)),
};

/** Rejects if an increment fails. */
async function contention(options: ContentionOptions) {
  const { clients, increments } = options;
  await using branch = await (await localDatabase()).connect();
  await branch.asAdmin("create table counter as select 0 as value");
  await branch.asAdmin("grant all on counter to user_service");
  const driver = new NeonDriver({
    ...parseSettings(branch.env).database,
    webSocketConstructor: DatabaseWebSocket,
  });
  const pool = poolOf(driver, { size: clients, maxOverflow: 0 });
  await using db = databaseOf(pool, { budget: new UnlimitedBudget(), attempts: ATTEMPTS });
  const startedMs = performance.now();
  const done: { ms: number; attempts: number }[] = [];
  await Promise.all(Array.from({ length: clients }, async () => {
    for (let count = 0; count < increments; count++) done.push(await increment(db));
  }));
  const seconds = (performance.now() - startedMs) / 1_000;
  const [row] = await branch.asAdmin<{ value: number }>("select value from counter");
  return {
    ...options,
    value: row!.value,
    seconds,
    latencies: latenciesOf(done.map(({ ms }) => ms)),
    attempts: latenciesOf(done.map(({ attempts }) => attempts)),
  };
}

async function increment(db: Database): Promise<{ ms: number; attempts: number }> {
  const startedMs = performance.now();
  let attempts = 0;
  await db.transaction(async (session) => {
    attempts++;
    const [row] = await session.query(sql<{ value: number }>`select value from counter`);
    await session.commit([sql`update counter set value = ${row!.value + 1}`]);
  }, { isolation: "serializable" });
  return { ms: performance.now() - startedMs, attempts };
}

export function contentionReport(result: ContentionResult): Measure[] {
  const { clients, increments, value, seconds, latencies, attempts } = result;
  return [
    ["clients", clients],
    ["increments of each", increments],
    ["increments lost or done twice", clients * increments - value, zero],
    ["increments a second", value / seconds],
    ["increment, ms at p50", latencies.p50],
    ["increment, ms at p99", latencies.p99],
    ["increment, ms at most", latencies.max],
    ["attempts at p50", attempts.p50],
    ["attempts at p99", attempts.p99],
    ["attempts at most", attempts.max],
  ];
}
