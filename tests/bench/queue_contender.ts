/** The same for all contenders: concurrent messages, and messages taken in one round trip. */
export const CONCURRENCY = 4;
export const BATCH_SIZE = 20;

/** A queue to be measured. The effect of a message is its key and a row of the activity, in one transaction. */
export interface QueueContender {
  readonly name: string;
  /** Puts events into the queue, each of another user. */
  fill(events: number): Promise<void>;
  /** Resolves once all events of `fill` have taken effect and are acknowledged. */
  drain(): Promise<void>;
  close(): Promise<unknown>;
}

/** The effect for the other queues: one statement, so that it is one round trip and one transaction. */
export const EFFECT = `
  with event as (
    select * from unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::timestamptz[])
      as event (id, user_id, version, type, occurred_at)
  ), first as (
    insert into transaction_keys (key) select 'activity ' || id from event
    on conflict do nothing returning key
  )
  insert into user_activity (user_id, version, type, occurred_at)
  select user_id, version, type, occurred_at from event
  where 'activity ' || id in (select key from first)
  on conflict (user_id, version) do nothing`;

/** An event in the form of the other queues. */
export interface Payload {
  readonly id: string;
  readonly userId: string;
  readonly version: number;
  readonly type: string;
  readonly occurredAt: string;
}

export function payloads(count: number): Payload[] {
  return Array.from({ length: count }, () => ({
    id: crypto.randomUUID(),
    userId: crypto.randomUUID(),
    version: 1,
    type: "user.created",
    occurredAt: new Date().toISOString(),
  }));
}

export function parametersOf(events: readonly Payload[]): unknown[] {
  return [
    events.map(({ id }) => id),
    events.map(({ userId }) => userId),
    events.map(({ version }) => version),
    events.map(({ type }) => type),
    events.map(({ occurredAt }) => occurredAt),
  ];
}
