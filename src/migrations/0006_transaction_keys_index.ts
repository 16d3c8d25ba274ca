import type { Migration } from "./apply.ts";

export const migration: Migration = {
  name: "0006_transaction_keys_index",
  statements: [
    "create index transaction_keys_created_at on transaction_keys (created_at)",
  ],
};
