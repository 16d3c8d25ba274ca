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
  /** Of the request that it tells of: https://www.w3.org/TR/trace-context/ */
  readonly traceparent: string | null;
  /** Until when it is out, by the server's clock and as the server writes it: no other taking of it has the same. */
  readonly lease: string;
}

/**
 * How a transaction on the outbox begins, whatever the default is. At a stricter level, what another has taken since
 * the snapshot fails the transaction instead of being skipped.
 * https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
 */
export const OUTBOX_UNIT = { isolation: "read committed" } as const;

export interface TakeOptions {
  readonly limit: number;
  /** For how long nobody else is given them. */
  readonly leaseMs: number;
}

/** Takes those that are due, the longest due first. Whoever takes at the same time gets others. */
export function takeEvents({ limit, leaseMs }: TakeOptions): Sql<OutboxRow> {
  return lease(
    sql`
      select id from user_events where due_at <= now()
      order by due_at, id limit ${limit} for update skip locked`,
    leaseMs,
  );
}

/** Before the ids of all users. */
export const FIRST_USER = "00000000-0000-0000-0000-000000000000";

/**
 * Takes the first event of each user, where it is due, from the users after `after` on in the order of their ids.
 * Goes from user to user by the index of their versions: however many events wait behind the first, nobody looks at
 * them.
 */
export function takeFirstEvents(
  { limit, leaseMs, after }: TakeOptions & { readonly after: string },
): Sql<OutboxRow> {
  const firstAfter = (user: Sql) =>
    sql`
      select user_id, id, due_at from user_events
      where user_id > ${user} order by user_id, version limit 1`;
  return lease(
    sql`
      with recursive heads as (
        (${firstAfter(sql`${after}::uuid`)})
        union all
        select next.* from heads, lateral (${firstAfter(sql`heads.user_id`)}) as next
      ), due as materialized (
        select id from heads where due_at <= now() limit ${SPARE * limit}
      )
      select id from user_events where id = any(array(select id from due)) and due_at <= now()
      order by user_id limit ${limit} for update skip locked`,
    leaseMs,
  );
}

/** Looked at for each that is wanted: others may take some of them at the same time. */
const SPARE = 3;

function lease(ids: Sql, leaseMs: number): Sql<OutboxRow> {
  return sql<OutboxRow>`
    with due as materialized (${ids})
    update user_events as event
    set attempts = attempts + 1, due_at = now() + ${leaseMs}::double precision * interval '1 millisecond'
    from due where event.id = due.id
    returning event.id::text, user_id as "userId", version, type, data,
      occurred_at as "occurredAt", attempts, traceparent, due_at::text as lease`;
}

/** They are delivered. */
export function dropEvents(ids: readonly string[]): Sql {
  return sql`delete from user_events where id = any(${ids}::bigint[])`;
}

export interface ReturnedEvent extends Pick<OutboxRow, "id" | "lease" | "attempts"> {
  readonly delayMs: number;
}

/** They are due again after their times. What others have taken meanwhile, as its time was over, stays with them. */
export function returnEvents(returned: readonly ReturnedEvent[]): Sql {
  const ids = returned.map(({ id }) => id);
  const leases = returned.map(({ lease }) => lease);
  const attempts = returned.map(({ attempts }) => attempts);
  const delays = returned.map(({ delayMs }) => delayMs);
  return sql`
    update user_events as event
    set attempts = returned.attempts, due_at = now() + returned.delay * interval '1 millisecond'
    from unnest(${ids}::bigint[], ${leases}::timestamptz[], ${attempts}::integer[], ${delays}::double precision[])
      as returned (id, lease, attempts, delay)
    where event.id = returned.id and event.due_at = returned.lease`;
}

/** The event as it travels. */
export function messageOf(
  { attempts: _, lease: __, occurredAt, traceparent, ...event }: OutboxRow,
): unknown {
  const trace = traceparent === null ? {} : { traceparent };
  return { ...event, occurredAt: occurredAt.toISOString(), ...trace };
}
