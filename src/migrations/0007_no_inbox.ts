import type { Migration } from "./apply.ts";

/** The keys in `transaction_keys` replace the inbox: they show which messages were processed. */
export const migration: Migration = {
  name: "0007_no_inbox",
  statements: [
    "drop table inbox",
  ],
};
