/**
 * The events that are still to be delivered: rows of `user_events`, which changes to users write.
 *
 * Whoever takes one keeps the others away until its time is over, by `due_at`; so what a crash leaves in hand comes
 * again, and nobody holds a lock meanwhile. What is delivered is deleted.
 */

import { type Sql, sql } from "../db/mod.ts";

export interface OutboxRow {
  readonly id: string;
  readonly userId: string;
  readonly version: number;
  readonly type: string;
  readonly data: unknown;
  readonly occurredAt: Date;
  readonly attempts: number;
}

export interface TakeOptions {
  readonly limit: number;
  /** For how long nobody else is given them. */
  readonly leaseMs: number;
  /** Only the first that is left of each user: the others come once it is gone. */
  readonly headsOnly: boolean;
}

/** Takes those that are due, the longest due first. Whoever takes at the same time gets others. */
export function takeEvents({ limit, leaseMs, headsOnly }: TakeOptions): Sql<OutboxRow> {
  const isHead = headsOnly
    ? sql`and version = (select min(version) from user_events where user_id = event.user_id)`
    : sql``;
  return sql<OutboxRow>`
    with due as materialized (
      select id from user_events as event where due_at <= now() ${isHead}
      order by due_at, id limit ${limit} for update skip locked
    )
    update user_events as event
    set attempts = attempts + 1, due_at = now() + ${interval(leaseMs)}
    from due where event.id = due.id
    returning event.id::text, user_id as "userId", version, type, data,
      occurred_at as "occurredAt", attempts`;
}

/** They are delivered. */
export function dropEvents(ids: readonly string[]): Sql {
  return sql`delete from user_events where id = any(${ids}::bigint[])`;
}

/** They are due again after their times. */
export function delayEvents(delays: readonly { id: string; delayMs: number }[]): Sql {
  return sql`
    update user_events as event set due_at = now() + delay * interval '1 millisecond'
    from unnest(${delays.map(({ id }) => id)}::bigint[], ${
    delays.map(({ delayMs }) => delayMs)
  }::double precision[])
      as later (id, delay)
    where event.id = later.id`;
}

/** They were taken, and nobody has looked at them. */
export function giveEventsBack(ids: readonly string[]): Sql {
  return sql`
    update user_events set due_at = now(), attempts = attempts - 1
    where id = any(${ids}::bigint[])`;
}

/** The event as it travels. */
export function messageOf({ attempts: _, occurredAt, ...event }: OutboxRow): unknown {
  return { ...event, occurredAt: occurredAt.toISOString() };
}

function interval(timeMs: number): Sql {
  return sql`${timeMs}::double precision * interval '1 millisecond'`;
}
