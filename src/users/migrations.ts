/** The tables of this domain. Statements go one by one, by the extended protocol, which takes no more at once. */

import { TRANSACTION_KEYS_TABLE } from "../db/mod.ts";

/** One step of the schema, applied once and as a whole. */
export interface Migration {
  /** Sorts by its number. */
  readonly name: string;
  readonly statements: readonly string[];
}

export const migrations: readonly Migration[] = [
  {
    name: "0001_users",
    statements: [
      `create table users (
        id uuid primary key,
        email text not null,
        name text not null,
        version integer not null default 1 check (version > 0),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      )`,
      `create unique index users_email_key on users (lower(email))`,
    ],
  },
  { name: "0002_transaction_keys", statements: [TRANSACTION_KEYS_TABLE] },
];
