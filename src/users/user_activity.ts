/**
 * What has happened to a user, in the order of its versions. It says what and when, and not the values: nothing
 * personal outlives the user here. It follows the changes a moment later, as their events take effect.
 */

import { type Session, type Sql, sql } from "../db/mod.ts";
import { UserNotFoundError } from "./user_errors.ts";
import type { UserEvent } from "./user_event.ts";
import type { UserId } from "./user_id.ts";

export interface Activity {
  readonly version: number;
  readonly type: string;
  readonly occurredAt: Date;
}

/** One page of a user's activity, and the version after which the next one begins. */
export interface ActivityPage {
  readonly activity: readonly Activity[];
  readonly next: number | null;
}

/**
 * Adds each event at the place that its version has among its user's others, whichever of them came first; an event of
 * the same version changes nothing.
 */
export function recordActivity(events: readonly UserEvent[]): Sql {
  const users = events.map(({ userId }) => userId);
  const versions = events.map(({ version }) => version);
  const types = events.map(({ type }) => type);
  const times = events.map(({ occurredAt }) => occurredAt);
  return sql`
    insert into user_activity (user_id, version, type, occurred_at)
    select * from unnest(${users}::uuid[], ${versions}::integer[], ${types}::text[], ${times}::timestamptz[])
    on conflict (user_id, version) do nothing`;
}

/**
 * At most `limit` entries whose versions come after `after`, also of a user that was deleted. Throws
 * `UserNotFoundError` for one that is not known at all.
 */
export async function listActivity(
  session: Session,
  id: UserId,
  { limit, after }: { limit: number; after: number },
): Promise<ActivityPage> {
  const [rows, [{ known } = { known: false }]] = await session.commit([
    // One more than asked for tells whether there is a next page.
    sql<{ version: number; type: string; occurred_at: Date }>`
      select version, type, occurred_at from user_activity
      where user_id = ${id} and version > ${after} order by version limit ${limit + 1}`,
    sql<{ known: boolean }>`
      select exists (select from users where id = ${id})
        or exists (select from user_activity where user_id = ${id}) as known`,
  ]);
  if (!known) throw new UserNotFoundError();
  const activity = rows.slice(0, limit)
    .map(({ version, type, occurred_at }) => ({ version, type, occurredAt: occurred_at }));
  return { activity, next: rows.length > limit ? activity.at(-1)?.version ?? null : null };
}
