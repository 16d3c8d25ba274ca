/**
 * A name for a unit of work that is there once: a row under a unique constraint, in the unit's own transaction. It
 * settles what the server cannot be asked for, as a second run that comes while the first may still commit waits for
 * it, or fails it.
 */
import { ServerError } from "../errors.ts";
import { PrependedStatement } from "./flight_plan.ts";
import { type Sql, sql } from "../driver/sql.ts";

/** The table of the keys, for a migration. Its role needs select, insert and delete. */
export const TRANSACTION_KEYS_TABLE = `create table transaction_keys (
  key text constraint transaction_keys_pkey primary key check (length(key) between 1 and 255),
  created_at timestamptz not null default now()
)`;

/** By it, `forgetKeys` finds the oldest. For a migration. */
export const TRANSACTION_KEYS_INDEX =
  "create index transaction_keys_created_at on transaction_keys (created_at)";

/** Goes ahead of all else of the unit. */
export function insertKey(key: string): PrependedStatement {
  assertKey(key);
  return new PrependedStatement({
    text: "insert into transaction_keys (key) values ($1)",
    values: [key],
  });
}

/**
 * For a transaction that does the units of several keys together: it fails if one of them is done, and then does none.
 * Whose they are has to run them one by one then, each as a transaction with its key.
 */
export function insertKeys(keys: readonly string[]): Sql {
  keys.forEach(assertKey);
  // In one order, so that transactions of the same keys wait for each other, and do not deadlock.
  return sql`insert into transaction_keys (key) select unnest(${keys.toSorted()}::text[])`;
}

function assertKey(key: string): void {
  if (key.length >= 1 && key.length <= 255) return;
  throw new RangeError(
    `Cannot run the transaction as its key must have from 1 to 255 characters: current length is ${key.length}`,
  );
}

/** Whether `error` says that a unit of the same key is committed. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof ServerError && error.constraint === "transaction_keys_pkey";
}

/**
 * Forgets keys that are older, the oldest first and at most `limit` of them, and gives those: units of those keys would
 * run again.
 */
export function deleteOldKeys(
  { olderThanMs, limit = 1_000 }: { olderThanMs: number; limit?: number },
): Sql<{ key: string }> {
  return sql<{ key: string }>`
    delete from transaction_keys where key in (
      select key from transaction_keys
      where created_at < now() - make_interval(secs => ${olderThanMs / 1_000})
      order by created_at limit ${limit} for update skip locked
    )
    returning key`;
}
