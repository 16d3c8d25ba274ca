/**
 * The table `idempotency_keys`: for each key what its request asked for, and what its answer is made from. The row is
 * written in the transaction of the change, so that there is either both or neither.
 *
 * A key's row is the first thing that its transaction writes. Another transaction with the key waits at its own INSERT until
 * the first one ends, and so before it has had any effect.
 */
import { type KeyInsert, type Sql, sql } from "./db/mod.ts";

/** For how long a key is kept at least. It is deleted some time afterwards: see `deleteOldAnswers`. */
export const KEY_LIFETIME_MS = 24 * 3_600_000;

/** What tells a request from others with the same key. Each is a digest, so that its length is bounded. */
export interface KeyedRequest {
  /** Of the tenant, the client and the key that it sent. */
  readonly key: string;
  /** Of what it asks for. */
  readonly fingerprint: string;
}

/** What the answer is made from. */
export interface KeptAnswer {
  readonly fingerprint: string;
  /** What the handler had made up, such as an id. */
  readonly made: unknown;
  /** The rows of each statement. */
  readonly results: readonly (readonly unknown[])[];
  /** The answer itself, if the request was refused and nothing was changed. */
  readonly refusal: unknown;
}

/** Inserts the key of a unit of work. */
export function insertRequest(
  { key, fingerprint }: KeyedRequest,
  { made, refusal }: Partial<Pick<KeptAnswer, "made" | "refusal">>,
): KeyInsert {
  return {
    insert: sql`
      insert into idempotency_keys (key, fingerprint, made, refusal)
      values (${key}, ${fingerprint}, ${jsonOf(made)}::jsonb, ${jsonOf(refusal)}::jsonb)`,
    constraint: "idempotency_keys_pkey",
  };
}

/**
 * A further part of a WITH clause, with the comma before it: keeps the rows of the part that is called `rows`. No
 * statement of its own, because the rows of a change cannot be read a second time.
 */
export function keepRows({ key }: KeyedRequest, rows: Sql): Sql {
  return sql`, kept as (
    update idempotency_keys set results = results ||
      jsonb_build_array(coalesce((select jsonb_agg(to_jsonb(${rows})) from ${rows}), '[]'::jsonb))
    where key = ${key})`;
}

export function selectAnswer({ key }: KeyedRequest): Sql<KeptAnswer> {
  return sql<KeptAnswer>`
    select fingerprint, made, results, refusal from idempotency_keys where key = ${key}`;
}

/** Deletes the keys past their lifetime, the oldest first and at most `limit` of them. */
export function deleteOldAnswers({ limit }: { limit: number }): Sql {
  return sql`
    delete from idempotency_keys where key in (
      select key from idempotency_keys
      where created_at < now() - make_interval(secs => ${KEY_LIFETIME_MS / 1_000})
      order by created_at limit ${limit} for update skip locked
    )
    returning key`;
}

function jsonOf(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}
