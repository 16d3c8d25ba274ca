/** Of what took effect, its key is kept for a while: until then, the same message does nothing. */
import { type Database, deleteOldKeys, type Session, type Sql } from "../db/mod.ts";
import { OUTBOX_UNIT } from "./outbox.ts";

/** Longer than any transport keeps a message. */
const KEYS_KEPT_MS = 30 * 24 * 3_600_000;

/** Short transactions: what is deleted is locked. */
export const PRUNED_AT_ONCE = 1_000;

/** One run. */
const MAX_BATCHES = 100;

/** Forgets some of the keys that are too old; all of them, if they are fewer than `PRUNED_AT_ONCE`. */
export function pruneSomeKeys(): Sql {
  return deleteOldKeys({ olderThanMs: KEYS_KEPT_MS, limit: PRUNED_AT_ONCE });
}

export async function pruneKeys(db: Pick<Database, "transaction">): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const prune = (session: Session) => session.commit([pruneSomeKeys()]);
    const [keys] = await db.transaction(prune, { ...OUTBOX_UNIT, label: "prune" });
    if (keys.length < PRUNED_AT_ONCE) return;
  }
}
