/**
 * The history of a user: the type and the time of each change, in the order of the versions. It holds no values, so
 * the history of a deleted user contains no personal data. An entry appears shortly after its change, when the consumer
 * processes the event.
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

/** One page of a user's activity. `next` is the `after` of the next page, or null on the last one. */
export interface ActivityPage {
  readonly activity: readonly Activity[];
  readonly next: number | null;
}

/**
 * Adds an entry for each event. Events may arrive in any order, because entries are ordered by version. If the user
 * already has an entry of that version, the event is ignored.
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
 * Returns at most `limit` entries of versions above `after`. Works for deleted users, too. Throws `UserNotFoundError` if
 * the id has neither a user nor an entry.
 */
export async function listActivity(
  session: Session,
  id: UserId,
  { limit, after }: { limit: number; after: number },
): Promise<ActivityPage> {
  const [rows, [{ known } = { known: false }]] = await session.commit([
    // One row more than the limit shows that there is a next page.
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
