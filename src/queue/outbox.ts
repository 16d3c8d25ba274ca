/**
 * The outbox: rows of `user_events`, which changes to users write. A row is deleted when its event is delivered.
 *
 * To take an event is to lease it: `due_at` moves to the end of the lease. Until then no other worker gets the event,
 * and no lock is held. If the worker's process crashes, the event becomes due again when the lease expires.
 */

import { type Sql, sql } from "../db/mod.ts";
import { EVERY_TENANT } from "../tenant.ts";

export interface OutboxRow {
  readonly id: string;
  /** Whose user it is about. */
  readonly tenant: string;
  readonly userId: string;
  readonly version: number;
  readonly type: string;
  readonly data: unknown;
  readonly occurredAt: Date;
  readonly attempts: number;
  /** Trace of the request that made the change: https://www.w3.org/TR/trace-context/ */
  readonly traceparent: string | null;
  /** End of the lease by the server's clock, in the server's text form. Identifies the lease: each one ends at another time. */
  readonly lease: string;
}

/**
 * Options of every transaction on the outbox, whatever the default isolation level is. At a stricter level, an event that
 * another worker took after the snapshot fails the transaction instead of being skipped.
 * https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
 * The queue has the events of all tenants.
 */
export const OUTBOX_TRANSACTION = { isolation: "read committed", locals: EVERY_TENANT } as const;

export interface TakeOptions {
  readonly limit: number;
  /** Length of the lease. */
  readonly leaseMs: number;
}

/**
 * Leases events that are due, the longest due first, to send them elsewhere, which is no attempt to process them.
 * Concurrent calls get different events.
 */
export function takeEvents({ limit, leaseMs }: TakeOptions): Sql<OutboxRow> {
  return lease(
    sql`
      select id from user_events where due_at <= now()
      order by due_at, id limit ${limit} for update skip locked`,
    { leaseMs, attempts: 0 },
  );
}

/** Sorts before the id of every user. */
export const FIRST_USER = "00000000-0000-0000-0000-000000000000";

/**
 * Leases the first event of each user if it is due, in the order of the user ids, from the first id above `after`. The
 * attempt is counted at once, because a process that crashes cannot report it.
 *
 * The query steps from user to user through the index on (user_id, version), so it reads no event that waits behind a
 * user's first.
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
        select id from heads where due_at <= now() limit ${CANDIDATES_PER_EVENT * limit}
      )
      select id from user_events where id = any(array(select id from due)) and due_at <= now()
      order by user_id limit ${limit} for update skip locked`,
    { leaseMs, attempts: 1 },
  );
}

/** Candidates read per wanted event: concurrent workers may take some of them. */
const CANDIDATES_PER_EVENT = 3;

function lease(
  ids: Sql,
  { leaseMs, attempts }: { leaseMs: number; attempts: number },
): Sql<OutboxRow> {
  return sql<OutboxRow>`
    with due as materialized (${ids})
    update user_events as event
    set attempts = attempts + ${attempts}::integer, due_at = now() + ${leaseMs}::double precision * interval '1 millisecond'
    from due where event.id = due.id
    returning event.id::text, tenant, user_id as "userId", version, type, data,
      occurred_at as "occurredAt", attempts, traceparent, due_at::text as lease`;
}

/** What an outcome names: the event, and the lease under which it was delivered. */
export type LeasedEvent = Pick<OutboxRow, "id" | "lease">;

/**
 * Deletes delivered events. An event that has had another lease since, or that an operator has requeued since, is left
 * alone: it is another delivery's.
 */
export function dropEvents(delivered: readonly LeasedEvent[]): Sql {
  const ids = delivered.map(({ id }) => id);
  const leases = delivered.map(({ lease }) => lease);
  return sql`
    delete from user_events as event
    using unnest(${ids}::bigint[], ${leases}::timestamptz[]) as delivered (id, lease)
    where event.id = delivered.id and event.due_at = delivered.lease`;
}

export interface ReturnedEvent extends LeasedEvent, Pick<OutboxRow, "attempts"> {
  readonly delayMs: number;
}

/**
 * Ends the leases: each event is due again after its `delayMs`. As in `dropEvents`, an event whose lease is no longer
 * the one named is left alone.
 */
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

/** The message body for an event. */
export function messageOf(
  { attempts: _, lease: __, occurredAt, traceparent, ...event }: OutboxRow,
): unknown {
  const trace = traceparent === null ? {} : { traceparent };
  return { ...event, occurredAt: occurredAt.toISOString(), ...trace };
}
