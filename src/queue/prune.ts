/**
 * Deletes old message keys. A message whose key is still stored is recognised as a duplicate and has no second effect.
 */
import { type Database, deleteOldKeys, type Session, type Sql } from "../db/mod.ts";
import { OUTBOX_TRANSACTION } from "./outbox.ts";

/** Longer than either transport keeps a message. */
const KEY_RETENTION_MS = 30 * 24 * 3_600_000;

/** A small limit keeps the transaction short: the deleted rows stay locked until its end. */
export const PRUNED_AT_ONCE = 1_000;

/** Per call of `pruneKeys`. */
const MAX_BATCHES = 100;

/** Deletes up to `PRUNED_AT_ONCE` expired keys and returns them. Fewer rows than that mean that none is left. */
export function pruneSomeKeys(): Sql {
  return deleteOldKeys({ olderThanMs: KEY_RETENTION_MS, limit: PRUNED_AT_ONCE });
}

/** Deletes expired keys, in as many short transactions as it takes, at most `MAX_BATCHES`. */
export async function pruneKeys(db: Pick<Database, "transaction">): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const prune = (session: Session) => session.commit([pruneSomeKeys()]);
    const [keys] = await db.transaction(prune, { ...OUTBOX_TRANSACTION, label: "prune" });
    if (keys.length < PRUNED_AT_ONCE) return;
  }
}
