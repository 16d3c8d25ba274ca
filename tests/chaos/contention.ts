/** Many clients at one counter: each increment reads it and writes what follows, kept apart by serializable alone. */
import { type Database, NeonDriver, RetryBudget, sql } from "../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../src/deno/database_websocket.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { type Latencies, latenciesOf } from "../outage/latencies.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import type { LocalDatabase } from "../support/local_database.ts";

export interface ContentionOptions {
  readonly clients: number;
  /** Of each client. */
  readonly increments: number;
}

export const FULL_CONTENTION: ContentionOptions = { clients: 32, increments: 100 };

export interface ContentionReport extends ContentionOptions {
  readonly value: number;
  readonly seconds: number;
  /** Of an increment, all of its attempts and the waits between them included. */
  readonly latencies: Latencies;
  /** Of an increment: how often it was run. */
  readonly runs: Latencies;
}

/** All but one client lose each time, so that an increment may need hundreds. */
const ATTEMPTS = 10_000;

/** Every attempt here adds to the load of its own making, which is what is looked at. */
class BoundlessBudget extends RetryBudget {
  override withdraw(): boolean {
    return true;
  }
}

/** Rejects if an increment fails. */
export async function contention(
  database: LocalDatabase,
  options: ContentionOptions,
): Promise<ContentionReport> {
  const { clients, increments } = options;
  await using branch = await database.connect();
  await branch.asAdmin("create table counter as select 0 as value");
  await branch.asAdmin("grant all on counter to user_service");
  const driver = new NeonDriver({
    ...parseSettings(branch.env).database,
    webSocketConstructor: DatabaseWebSocket,
  });
  const pool = poolOf(driver, { size: clients, maxOverflow: 0 });
  await using db = databaseOf(pool, { budget: new BoundlessBudget(), attempts: ATTEMPTS });
  const startedMs = performance.now();
  const took: { ms: number; runs: number }[] = [];
  await Promise.all(Array.from({ length: clients }, async () => {
    for (let count = 0; count < increments; count++) took.push(await increment(db));
  }));
  const seconds = (performance.now() - startedMs) / 1_000;
  const [row] = await branch.asAdmin<{ value: number }>("select value from counter");
  return {
    ...options,
    value: row!.value,
    seconds,
    latencies: latenciesOf(took.map(({ ms }) => ms)),
    runs: latenciesOf(took.map(({ runs }) => runs)),
  };
}

async function increment(db: Database): Promise<{ ms: number; runs: number }> {
  const startedMs = performance.now();
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    const [row] = await session.query(sql<{ value: number }>`select value from counter`);
    await session.commit([sql`update counter set value = ${row!.value + 1}`]);
  }, { isolation: "serializable" });
  return { ms: performance.now() - startedMs, runs };
}

/** What is wrong with a run, a sentence each; nothing if it is as it must be. */
export function contentionFaults({ value, clients, increments }: ContentionReport): string[] {
  const expected = clients * increments;
  return value === expected ? [] : [`The counter is at ${value} after ${expected} increments`];
}

export function contentionRows(
  { clients, increments, value, seconds, latencies, runs }: ContentionReport,
): readonly (readonly [string, string])[] {
  return [
    ["clients, increments of each", `${clients}, ${increments}`],
    ["value", `${value}`],
    ["time", `${seconds.toFixed(1)} s, ${(value / seconds).toFixed(0)}/s`],
    ["latency: p50, p99, max", inMs(latencies)],
    ["attempts per unit: p50, p99, max", `${runs.p50}, ${runs.p99}, ${runs.max}`],
  ];
}

function inMs({ p50, p99, max }: Latencies): string {
  return `${p50.toFixed(0)}, ${p99.toFixed(0)}, ${max.toFixed(0)} ms`;
}
