import type { Database } from "../../../src/db/mod.ts";
import { Consumer } from "../../../src/queue/consumer.ts";
import { PostgresQueue } from "../../../src/queue/postgres_queue.ts";
import type { Delivery } from "../../../src/queue/transport.ts";
import { recordActivity } from "../../../src/users/user_activity.ts";
import type { Branch } from "../../support/branch.ts";
import { BATCH_SIZE, CONCURRENCY, type QueueContender } from "../queue_contender.ts";

/** With an event that is no longer than theirs. */
export function queueOurs(db: Database, branch: Branch): QueueContender {
  let left = 0;
  const { consume } = new Consumer({
    db,
    name: "activity",
    effect: (event) => [recordActivity(event)],
    onFailure: ({ error }) => {
      throw new Error(error);
    },
  });
  return {
    name: "user-service",
    async fill(events) {
      left = events;
      await branch.asAdmin(`
        insert into user_events (user_id, version, type, data)
        select gen_random_uuid(), 1, 'user.created', '{"email": "", "name": ""}'
        from generate_series(1, ${events})`);
    },
    async drain() {
      const drained = Promise.withResolvers<void>();
      const queue = new PostgresQueue({
        db,
        concurrency: CONCURRENCY,
        batchSize: BATCH_SIZE,
        pollMs: 1_000,
        async consume(delivery: Delivery) {
          await consume(delivery);
          if (--left === 0) drained.resolve();
        },
        onFailure: drained.reject,
      });
      await drained.promise;
      await queue.stop();
    },
    close: () => db.close({ timeoutMs: 1_000 }),
  };
}
