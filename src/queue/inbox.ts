/** Which messages have taken effect: a row for each, written by the transaction of the effect. */

import { ServerError, type Sql, sql } from "../db/mod.ts";

/** A message that comes again after so long takes effect again: longer than any transport keeps one. */
export const INBOX_DAYS = 30;

/** Fails, and with it the transaction, if the message has taken effect already: see `isDuplicate`. */
export function enterInbox(consumer: string, messageId: string): Sql {
  return sql`insert into inbox (consumer, message_id) values (${consumer}, ${messageId})`;
}

/** Whether a transaction failed because the message had taken effect before. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof ServerError && error.constraint === "inbox_pkey";
}

/** Drops what is older than `INBOX_DAYS`, at most `limit` rows of it. */
export function pruneInbox({ limit = 10_000 }: { limit?: number } = {}): Sql {
  return sql`
    delete from inbox where (consumer, message_id) in (
      select consumer, message_id from inbox
      where handled_at < now() - make_interval(days => ${INBOX_DAYS})
      order by handled_at limit ${limit}
    )`;
}
