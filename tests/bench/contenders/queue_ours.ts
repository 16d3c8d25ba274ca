import type { Database } from "../../../src/db/mod.ts";
import { Consumer } from "../../../src/queue/consumer.ts";
import { PostgresQueue, type PostgresQueueOptions } from "../../../src/queue/postgres_queue.ts";
import { recordActivity } from "../../../src/users/user_activity.ts";
import { parseUserEvent } from "../../../src/users/user_event.ts";
import type { Branch } from "../../support/branch.ts";
import { BATCH_SIZE, CONCURRENCY, type QueueContender } from "../queue_contender.ts";

export function queueOurs(db: Database, branch: Branch): QueueContender {
  let left = 0;
  return {
    name: "user-service",
    async fill(events) {
      left = events;
      await fillOutbox(branch, events);
    },
    async drain() {
      const drained = Promise.withResolvers<void>();
      const onConsumed = (count: number) => {
        left -= count;
        if (left === 0) drained.resolve();
      };
      const queue = startQueue(db, {
        concurrency: CONCURRENCY,
        batchSize: BATCH_SIZE,
        onConsumed,
      });
      await drained.promise;
      await queue.stop({ timeoutMs: 1_000 });
    },
    close: () => db.close({ timeoutMs: 1_000 }),
  };
}

/** Its events are not longer than those of the other queues. */
export async function fillOutbox(branch: Branch, events: number): Promise<void> {
  await branch.asAdmin(`
    insert into user_events (user_id, version, type, data)
    select gen_random_uuid(), 1, 'user.created', '{"email": "", "name": ""}'
    from generate_series(1, ${events})`);
}

export type QueueShare = Pick<PostgresQueueOptions, "concurrency" | "batchSize">;

/** Throws if a message fails, which ends the process. */
export function startQueue(
  db: Database,
  { onConsumed, ...share }: QueueShare & { onConsumed: (count: number) => void },
): PostgresQueue {
  const fail = (error: unknown) => {
    throw new Error("Cannot measure the queue as it failed", { cause: error });
  };
  const { consume } = new Consumer({
    db,
    name: "activity",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure: ({ error }) => fail(error),
  });
  return new PostgresQueue({
    db,
    ...share,
    pollMs: 1_000,
    async consume(deliveries, options) {
      await consume(deliveries, options);
      onConsumed(deliveries.length);
    },
    onFailure: fail,
  });
}
