import type { Database } from "../db/mod.ts";
import { Consumer, type ConsumerOptions } from "../queue/consumer.ts";
import { recordActivity } from "../users/user_activity.ts";

/** What every entry does with events: they become the activity of their users. */
export function activityConsumer(
  db: Pick<Database, "transaction">,
  { onFailure }: Pick<ConsumerOptions, "onFailure">,
): Consumer {
  return new Consumer({
    db,
    name: "activity",
    effect: (events) => [recordActivity(events)],
    onFailure,
  });
}
