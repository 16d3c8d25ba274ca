/** Messages that were given up, each with its error, until somebody has a look. */

import { type Session, type Sql, sql } from "../db/mod.ts";
import type { Delivery } from "./transport.ts";

export interface DeadLetter {
  readonly id: string;
  readonly messageId: string;
  readonly body: unknown;
  readonly error: string;
  readonly attempts: number;
  readonly diedAt: Date;
}

/** Adds the message; once, however often it is said. */
export function bury(
  consumer: string,
  { id, body, attempts }: Delivery,
  error: string,
): Sql {
  // What JSON has no word for is a message all the same.
  const text = JSON.stringify(body ?? null);
  return sql`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values (${consumer}, ${id}, ${text}::text::jsonb, ${error}, ${attempts})
    on conflict (consumer, message_id) do nothing`;
}

/** The latest of them. */
export async function listDeadLetters(
  session: Session,
  { limit }: { limit: number },
): Promise<DeadLetter[]> {
  const [rows] = await session.commit([
    sql<DeadLetter>`
      select id::text, message_id as "messageId", body, error, attempts, died_at as "diedAt"
      from dead_letters order by id desc limit ${limit}`,
  ]);
  return rows;
}

/**
 * Puts a dead letter back into the outbox, as new. Says whether there is one of this id. Throws `ServerError` for what
 * was never an event of the outbox; then it stays where it is.
 */
export async function putBack(session: Session, id: string): Promise<boolean> {
  const [rows] = await session.commit([sql`
    with back as (delete from dead_letters where id = ${id} returning body)
    insert into user_events (id, user_id, version, type, data, occurred_at)
    overriding system value
    select (body->>'id')::bigint, (body->>'userId')::uuid, (body->>'version')::integer,
      body->>'type', body->'data', (body->>'occurredAt')::timestamptz
    from back
    returning 1`]);
  return rows.length > 0;
}
