import type { Database } from "./db/mod.ts";
import type { Log } from "./ops/log.ts";
import { Consumer } from "./queue/consumer.ts";
import { recordActivity } from "./users/user_activity.ts";

/** What every entry does with events: they become the activity of their users. */
export function activityConsumer(db: Pick<Database, "transaction">, log: Log): Consumer {
  return new Consumer({
    db,
    name: "activity",
    effect: (events) => [recordActivity(events)],
    onFailure({ isDead, ...failure }) {
      if (isDead) log.error("message given up", { ...failure });
      else log.warn("messages failed", { ...failure });
    },
  });
}
