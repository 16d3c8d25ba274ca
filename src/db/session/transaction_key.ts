/**
 * Idempotency keys for units of work. The key is inserted under a unique constraint, in the unit's own transaction, so
 * at most one unit with a key commits. If the outcome of a COMMIT is unknown, the unit is run again: its INSERT waits
 * while the first transaction is in progress, and fails with a duplicate key if that one commits.
 */
import { encodePart } from "../driver/encoded_part.ts";
import { ServerError } from "../errors.ts";
import { PrependedStatement } from "./flight_plan.ts";
import { assertStatement, type Sql, sql } from "../driver/sql.ts";

/**
 * The statement that creates the table of the keys, for a migration. The service's role needs select, insert and
 * delete.
 */
export const TRANSACTION_KEYS_TABLE = `create table transaction_keys (
  key text constraint transaction_keys_pkey primary key check (length(key) between 1 and 255),
  created_at timestamptz not null default now()
)`;

/** The statement that creates the index by which `deleteOldKeys` finds the oldest keys, for a migration. */
export const TRANSACTION_KEYS_INDEX =
  "create index transaction_keys_created_at on transaction_keys (created_at)";

/** The key of a unit, in a table of the caller's own, whose rows may have more columns than a key. */
export interface KeyInsert {
  /** Inserts the key. It is sent in front of the unit's statements, and fails if another unit has committed the key. */
  readonly insert: Sql;
  /** The name of the unique constraint, or index, by which it fails. */
  readonly constraint: string;
}

/** The key as a row of `transaction_keys`. Throws `RangeError` for a key of a bad length. */
export function keyInsertOf(key: string | KeyInsert): KeyInsert {
  if (typeof key === "object" && key !== null) {
    assertStatement(key.insert);
    return key;
  }
  // A key that is `undefined` at run time must not become a unit without one, which is not safe to repeat.
  assertKey(key);
  return {
    insert: sql`insert into transaction_keys (key) values (${key})`,
    constraint: "transaction_keys_pkey",
  };
}

/** The INSERT of the key, to be sent in front of the unit's statements. */
export function prependedInsert({ insert: { text, values } }: KeyInsert): PrependedStatement {
  return new PrependedStatement(encodePart({ text, values }));
}

/**
 * The INSERT of several keys, for a transaction that runs the units of all of them together. If one of the keys exists
 * already, the statement fails with SQLSTATE 23505 and nothing of the transaction takes effect. The caller then runs
 * the units one by one, each in a transaction with its key. Throws `RangeError` for a key that is empty or longer than
 * 255 characters.
 */
export function insertKeys(keys: readonly string[]): Sql {
  keys.forEach(assertKey);
  // All transactions insert keys in the same order, so that they cannot deadlock.
  return sql`insert into transaction_keys (key) select unnest(${keys.toSorted()}::text[])`;
}

/** PostgreSQL counts code points, as does the table's constraint. */
export function assertKey(key: unknown): asserts key is string {
  if (typeof key !== "string") {
    throw new TypeError(
      `Cannot run the transaction as its key must be a string: current type is ${typeof key}; ` +
        "leave out `key` for a unit without one",
    );
  }
  const length = [...key].length;
  if (length >= 1 && length <= 255) return;
  throw new RangeError(
    `Cannot run the transaction as its key must have from 1 to 255 characters: current length is ${length}`,
  );
}

/** Whether the error shows that another unit with the same key is committed. */
export function isDuplicateKey(error: unknown, { constraint }: KeyInsert): boolean {
  return error instanceof ServerError && error.sqlState === UNIQUE_VIOLATION &&
    error.constraint === constraint;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const UNIQUE_VIOLATION = "23505";

/**
 * Deletes keys older than `olderThanMs`, the oldest first and at most `limit` of them, and returns them. A unit with a
 * deleted key would run again.
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
