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

/** Who gave a message up, and why. */
export interface Burial extends Pick<Delivery, "id" | "body" | "attempts"> {
  readonly consumer: string;
  readonly error: string;
}

/** Adds the message; once, however often it is said. Takes whatever came, as nothing else would be rid of it. */
export function bury({ consumer, id, body, attempts, error }: Burial): Sql {
  return sql`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values (${consumer}, ${id}, ${storable(body)}::text::jsonb, ${printable(error)}, ${attempts})
    on conflict (consumer, message_id) do nothing`;
}

/** What `jsonb` cannot hold: https://www.postgresql.org/docs/current/datatype-json.html */
const UNSTORABLE = /\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** As JSON; as its text where that has characters that the server does not take. */
function storable(body: unknown): string {
  // What JSON has no word for is a message all the same.
  const text = JSON.stringify(body ?? null);
  return UNSTORABLE.test(text) ? JSON.stringify(text) : text;
}

const MAX_ERROR_LENGTH = 1_000;

/** It may quote what came: neither a server nor a terminal is to be told what to do by it. */
function printable(error: string): string {
  return error.slice(0, MAX_ERROR_LENGTH).toWellFormed()
    // deno-lint-ignore no-control-regex
    .replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => JSON.stringify(character).slice(1, -1));
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
 * Puts a dead letter back into the outbox, as new, unless it waits there already. Says whether there is one of this id.
 * Throws `ServerError` for what was never an event of the outbox; then it stays where it is.
 */
export async function putBack(session: Session, id: string): Promise<boolean> {
  const [rows] = await session.commit([sql`
    with back as (delete from dead_letters where id = ${id} returning body),
    waiting as (
      insert into user_events (id, user_id, version, type, data, occurred_at)
      overriding system value
      select (body->>'id')::bigint, (body->>'userId')::uuid, (body->>'version')::integer,
        body->>'type', body->'data', (body->>'occurredAt')::timestamptz
      from back
      on conflict do nothing
    )
    select from back`]);
  return rows.length > 0;
}
