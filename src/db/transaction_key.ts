/**
 * A name for a unit of work that is there once: a row under a unique constraint, in the unit's own transaction. It
 * settles what the server cannot be asked for, as a second run that comes while the first may still commit waits for
 * it, or fails it.
 */
import { ServerError } from "./errors.ts";
import { Rider } from "./rider.ts";
import { type Sql, sql } from "./sql.ts";

/** The table of the keys, for a migration. Its role needs select, insert and delete. */
export const TRANSACTION_KEYS_TABLE = `create table transaction_keys (
  key text constraint transaction_keys_pkey primary key check (length(key) between 1 and 255),
  created_at timestamptz not null default now()
)`;

/** Goes ahead of all else of the unit. */
export function claim(key: string): Rider {
  if (!(key.length >= 1 && key.length <= 255)) {
    throw new RangeError(
      `Cannot run the transaction as its key must have from 1 to 255 characters: current length is ${key.length}`,
    );
  }
  return new Rider({ text: "insert into transaction_keys (key) values ($1)", values: [key] });
}

/** Whether `error` says that a unit of the same key is committed. */
export function isClaimed(error: unknown): boolean {
  return error instanceof ServerError && error.constraint === "transaction_keys_pkey";
}

/** Forgets keys that are older: units of those keys would run again. */
export function forgetKeys({ olderThanMs }: { olderThanMs: number }): Sql<{ key: string }> {
  return sql`delete from transaction_keys
    where created_at < now() - make_interval(secs => ${olderThanMs / 1_000})`;
}
