import {
  BATCH_SIZE,
  CONCURRENCY,
  EFFECT,
  parametersOf,
  type Payload,
  payloads,
  type QueueContender,
} from "../queue_contender.ts";
import { type PgPool, pgPoolOf } from "./queue_pg.ts";

const PG_BOSS = "npm:pg-boss@12.38.0";

interface Boss {
  on(event: "error", listener: (error: Error) => void): void;
  start(): Promise<unknown>;
  stop(options: { graceful: boolean }): Promise<void>;
  createQueue(name: string): Promise<void>;
  insert(name: string, jobs: readonly { data: Payload }[]): Promise<unknown>;
  fetch(name: string, options: { batchSize: number }): Promise<{ id: string; data: Payload }[]>;
  complete(name: string, ids: readonly string[]): Promise<unknown>;
}

const { PgBoss }: { PgBoss: new (options: Record<string, unknown>) => Boss } = await import(
  PG_BOSS
);

/**
 * Calls `fetch` and `complete` in a loop: its own `work()` pauses for half a second or more between two batches, since it
 * polls. `together` does the effects of a batch in one statement, so that one failed message fails its whole batch.
 */
export async function queuePgBoss(
  connectionString: string,
  { together }: { together: boolean },
): Promise<QueueContender> {
  const queue = together ? "together" : "apart";
  const boss = new PgBoss({
    connectionString,
    max: CONCURRENCY,
    supervise: false,
    schedule: false,
  });
  const effects: PgPool = pgPoolOf({ connectionString, max: CONCURRENCY });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue(queue);
  const lane = async () => {
    while (true) {
      const jobs = await boss.fetch(queue, { batchSize: BATCH_SIZE });
      if (jobs.length === 0) return;
      const payloads = jobs.map(({ data }) => data);
      for (const events of together ? [payloads] : payloads.map((each) => [each])) {
        await effects.query(EFFECT, parametersOf(events));
      }
      await boss.complete(queue, jobs.map(({ id }) => id));
    }
  };
  return {
    name: together ? "pg-boss 12.38.0, a batch in one statement" : "pg-boss 12.38.0",
    async fill(events) {
      await boss.insert(queue, payloads(events).map((data) => ({ data })));
    },
    async drain() {
      await Promise.all(Array.from({ length: CONCURRENCY }, lane));
    },
    close: () => Promise.all([boss.stop({ graceful: false }), effects.end()]),
  };
}
