import type { Database } from "./db/mod.ts";
import type { Log } from "./ops/log.ts";
import { Consumer, type MessageFailure } from "./queue/consumer.ts";
import { PostgresQueue } from "./queue/postgres_queue.ts";
import { recordActivity } from "./users/user_activity.ts";

/** What every entry does with events: they become the activity of their users. */
export function activityConsumer(db: Database, log: Log): Consumer {
  return new Consumer({
    db,
    name: "activity",
    effect: (event) => [recordActivity(event)],
    onFailure: logMessageFailures(log),
  });
}

/** Takes events from PostgreSQL, until it is stopped. */
export function startConsumer(
  db: Database,
  { log, ...options }: { log: Log; concurrency: number; pollMs: number },
): PostgresQueue {
  const { consume } = activityConsumer(db, log);
  const onFailure = (error: unknown) => log.warn("events could not be taken", { error });
  return new PostgresQueue({ ...options, db, consume, onFailure });
}

function logMessageFailures(log: Log): (failure: MessageFailure) => void {
  return ({ isDead, ...failure }) => {
    if (isDead) log.error("message given up", failure);
    else log.warn("message failed", failure);
  };
}
