import type { Migration } from "./apply.ts";

/** `transaction_keys` tells which messages have been handled. */
export const migration: Migration = {
  name: "0007_no_inbox",
  statements: [
    "drop table inbox",
  ],
};
