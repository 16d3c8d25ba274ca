/** The same of everybody: so many messages at once, taken so many in one round trip. */
export const CONCURRENCY = 4;
export const BATCH_SIZE = 20;

/** One queue under measurement. The effect of a message is a row in the inbox and one in the activity, in one transaction. */
export interface QueueContender {
  readonly name: string;
  /** Puts so many events into the queue, each of a user of its own. */
  fill(events: number): Promise<void>;
  /** Resolves once all that `fill` has put there has taken effect and is settled. */
  drain(): Promise<void>;
  close(): Promise<unknown>;
}

/** What the others do with an event: one statement, and so one round trip and one transaction. */
export const EFFECT = `
  with first as (
    insert into inbox (consumer, message_id) values ('activity', $1) on conflict do nothing returning 1
  )
  insert into user_activity (user_id, version, type, occurred_at)
  select $2::uuid, $3::integer, $4, $5::timestamptz from first
  on conflict (user_id, version) do nothing`;

/** An event as the others carry it. */
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

export function parametersOf({ id, userId, version, type, occurredAt }: Payload): unknown[] {
  return [id, userId, version, type, occurredAt];
}
