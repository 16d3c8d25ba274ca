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

const GRAPHILE_WORKER = "npm:graphile-worker@0.18.0";

interface Helpers {
  query(text: string, values: readonly unknown[]): Promise<unknown>;
}

const { run, runMigrations, Logger }: {
  run(options: Record<string, unknown>): Promise<{ stop(): Promise<void> }>;
  runMigrations(options: Record<string, unknown>): Promise<void>;
  Logger: new (factory: () => () => void) => unknown;
} = await import(GRAPHILE_WORKER);

/** Uses its local queue, which takes a batch in one round trip. */
export async function queueGraphile(connectionString: string): Promise<QueueContender> {
  // One for each worker, one to listen, and one to complete jobs.
  const pgPool: PgPool = pgPoolOf({ connectionString, max: CONCURRENCY + 2 });
  const logger = new Logger(() => () => {});
  await runMigrations({ pgPool, logger });
  let left = 0;
  let drained = Promise.withResolvers<void>();
  return {
    name: "graphile-worker 0.18.0",
    async fill(events) {
      left = events;
      drained = Promise.withResolvers();
      await pgPool.query(
        `select graphile_worker.add_job('event', payload) from json_array_elements($1::json) as payload`,
        [JSON.stringify(payloads(events))],
      );
    },
    async drain() {
      const runner = await run({
        pgPool,
        logger,
        noHandleSignals: true,
        noPreparedStatements: false,
        preset: {
          worker: {
            concurrentJobs: CONCURRENCY,
            localQueue: { size: BATCH_SIZE },
            completeJobBatchDelay: 0,
          },
        },
        taskList: {
          event: async (payload: Payload, { query }: Helpers) => {
            await query(EFFECT, parametersOf([payload]));
            if (--left === 0) drained.resolve();
          },
        },
      });
      await drained.promise;
      await runner.stop();
    },
    close: () => pgPool.end(),
  };
}
