import type { Migration } from "./apply.ts";

/** Creates the table of `TRANSACTION_KEYS_TABLE`. A copy of its text: editing the constant must not change this migration. */
export const migration: Migration = {
  name: "0004_transaction_keys",
  statements: [
    `create table transaction_keys (
      key text constraint transaction_keys_pkey primary key check (length(key) between 1 and 255),
      created_at timestamptz not null default now()
    )`,
  ],
};
