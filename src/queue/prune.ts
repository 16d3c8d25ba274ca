/**
 * Deletes old keys. A message whose key is still stored is recognised as a duplicate and has no second effect; a request
 * whose key is still stored gets the first answer again.
 */
import { type Database, deleteOldKeys, type Session, type Sql, sql } from "../db/mod.ts";
import { deleteOldAnswers } from "../idempotency_keys.ts";
import { OUTBOX_TRANSACTION } from "./outbox.ts";

/** Of messages. Longer than either transport keeps one. */
const KEY_RETENTION_MS = 30 * 24 * 3_600_000;

/** A small limit keeps the transaction short: the deleted rows stay locked until its end. */
export const PRUNED_AT_ONCE = 1_000;

/** Per call of `pruneKeys`. */
const MAX_BATCHES = 100;

/**
 * Deletes up to `PRUNED_AT_ONCE` expired keys of messages, and as many of requests, and returns them. Fewer rows than that
 * mean that none is left.
 */
export function pruneSomeKeys(): Sql {
  const limit = PRUNED_AT_ONCE;
  return sql`
    with of_messages as (${deleteOldKeys({ olderThanMs: KEY_RETENTION_MS, limit })}),
      of_requests as (${deleteOldAnswers({ limit })})
    select key from of_messages union all select key from of_requests`;
}

/** Deletes expired keys, in as many short transactions as it takes, at most `MAX_BATCHES`. */
export async function pruneKeys(db: Pick<Database, "transaction">): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const prune = (session: Session) => session.commit([pruneSomeKeys()]);
    const [keys] = await db.transaction(prune, { ...OUTBOX_TRANSACTION, label: "prune" });
    if (keys.length < PRUNED_AT_ONCE) return;
  }
}
