import type { Migration } from "./apply.ts";

/** The table of `TRANSACTION_KEYS_TABLE`, as text of its own: a later edit of the constant must not rewrite history. */
export const migration: Migration = {
  name: "0004_transaction_keys",
  statements: [
    `create table transaction_keys (
      key text constraint transaction_keys_pkey primary key check (length(key) between 1 and 255),
      created_at timestamptz not null default now()
    )`,
  ],
};
