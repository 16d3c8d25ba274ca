import type { Database } from "../db/mod.ts";
import { Consumer, type ConsumerOptions } from "../queue/consumer.ts";
import { recordActivity } from "../users/user_activity.ts";
import { parseUserEvent, type UserEvent } from "../users/user_event.ts";

/** The consumer of both entries: it writes each user event to the activity of its user. */
export function activityConsumer(
  db: Pick<Database, "transaction">,
  { onFailure }: Pick<ConsumerOptions<UserEvent>, "onFailure">,
): Consumer<UserEvent> {
  return new Consumer({
    db,
    name: "activity",
    parse: parseUserEvent,
    handler: (events) => [recordActivity(events)],
    onFailure,
  });
}
