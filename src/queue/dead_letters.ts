/** Messages that were given up, each with its error. They stay until an operator requeues them. */

import { type Session, type Sql, sql } from "../db/mod.ts";
import type { Delivery } from "./transport.ts";

export interface DeadLetter {
  readonly id: string;
  readonly tenant: string;
  readonly messageId: string;
  readonly body: unknown;
  readonly error: string;
  readonly attempts: number;
  readonly diedAt: Date;
}

/** The message, the consumer that gave it up, and the reason. */
export interface DeadLetterInput extends Pick<Delivery, "id" | "body" | "attempts"> {
  readonly consumer: string;
  readonly error: string;
}

/**
 * Stores the message as a dead letter, once per consumer and id. Accepts any body: a body that could not be stored
 * would be delivered forever.
 */
export function deadLetter({ consumer, id, body, attempts, error }: DeadLetterInput): Sql {
  return sql`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values (${consumer}, ${id}, ${storable(body)}::text::jsonb, ${printable(error)}, ${attempts})
    on conflict (consumer, message_id) do nothing`;
}

/** Escapes that `jsonb` refuses: https://www.postgresql.org/docs/current/datatype-json.html */
const UNSTORABLE = /\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** PostgreSQL reads JSON by recursion, and refuses what does not fit into its `max_stack_depth`: some thousand levels. */
const MAX_DEPTH = 1_000;

/** The body as JSON. A body that `jsonb` cannot hold becomes a JSON string that contains its JSON text. */
function storable(body: unknown): string {
  const text = written(body);
  return UNSTORABLE.test(text) || depthOf(text) > MAX_DEPTH ? JSON.stringify(text) : text;
}

function written(body: unknown): string {
  try {
    // JSON cannot express `undefined`: store null.
    return JSON.stringify(body ?? null);
  } catch (error) {
    // The stack overflows at some thousand levels, of members whose names are numbers.
    if (error instanceof RangeError) return JSON.stringify("(nested too deeply to be written)");
    throw error;
  }
}

/** By how many brackets a value is enclosed at most. Brackets within strings do not count. */
function depthOf(json: string): number {
  let [depth, deepest] = [0, 0];
  for (const [token] of json.matchAll(/"(?:[^"\\]+|\\.)*"|[[{}\]]/g)) {
    if (token === "[" || token === "{") deepest = Math.max(deepest, ++depth);
    else if (token === "]" || token === "}") depth--;
  }
  return deepest;
}

const MAX_ERROR_LENGTH = 1_000;

/** An error may quote the message. */
function printable(error: string): string {
  return escapeControls(error.slice(0, MAX_ERROR_LENGTH).toWellFormed());
}

/**
 * Escapes, as JSON would, the characters that PostgreSQL refuses (NUL) or that a terminal obeys: both ranges of control
 * characters, line separators, and those that change the direction of the text.
 */
export function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (character) => {
    const escaped = JSON.stringify(character).slice(1, -1);
    if (escaped !== character) return escaped;
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The latest dead letters, newest first. */
export async function listDeadLetters(
  session: Session,
  { limit }: { limit: number },
): Promise<DeadLetter[]> {
  const [rows] = await session.commit([
    sql<DeadLetter>`
      select id::text, tenant, message_id as "messageId", body, error, attempts, died_at as "diedAt"
      from dead_letters order by id desc limit ${limit}`,
  ]);
  return rows;
}

/**
 * Moves a dead letter back into the outbox, due at once and with no attempts counted. If the outbox still holds the
 * event, the dead letter's replaces it, and so ends the lease of a consumer that has yet to report its outcome. Returns
 * false if no dead letter has this id. Throws `ServerError` if the body is not an event, or if the outbox holds another
 * event of the same user and version; the dead letter then stays.
 */
export async function requeue(session: Session, id: string): Promise<boolean> {
  const [rows] = await session.commit([sql`
    with removed as (delete from dead_letters where id = ${id} returning tenant, body),
    queued as (
      insert into user_events (id, tenant, user_id, version, type, data, occurred_at, traceparent)
      overriding system value
      select (body->>'id')::bigint, tenant, (body->>'userId')::uuid, (body->>'version')::integer,
        body->>'type', body->'data', (body->>'occurredAt')::timestamptz, body->>'traceparent'
      from removed
      on conflict (id) do update
      set (tenant, user_id, version, type, data, occurred_at, traceparent, attempts, due_at) = (
        excluded.tenant, excluded.user_id, excluded.version, excluded.type, excluded.data, excluded.occurred_at,
        excluded.traceparent, excluded.attempts, excluded.due_at)
    )
    select from removed`]);
  return rows.length > 0;
}
