/** The tables of this domain. Statements go one by one, by the extended protocol, which takes no more at once. */

import { TRANSACTION_KEYS_INDEX, TRANSACTION_KEYS_TABLE } from "../db/mod.ts";

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
  {
    name: "0002_user_events",
    statements: [
      // A row is here until its event is delivered: this is the outbox, and on Deno the queue itself.
      `create table user_events (
        id bigint generated always as identity primary key,
        user_id uuid not null,
        version integer not null check (version > 0),
        type text not null,
        data jsonb not null,
        occurred_at timestamptz not null default now(),
        attempts integer not null default 0,
        due_at timestamptz not null default now(),
        unique (user_id, version)
      )`,
      `create index user_events_due_at on user_events (due_at, id)`,
      `create table user_activity (
        user_id uuid not null,
        version integer not null check (version > 0),
        type text not null,
        occurred_at timestamptz not null,
        primary key (user_id, version)
      )`,
    ],
  },
  { name: "0004_transaction_keys", statements: [TRANSACTION_KEYS_TABLE] },
  {
    name: "0005_user_events_traceparent",
    statements: [
      // Whoever changes a user in a trace says so once, to its transaction; after one that did, the setting is empty.
      `alter table user_events
        add traceparent text default nullif(current_setting('user_service.traceparent', true), '')`,
    ],
  },
  { name: "0006_transaction_keys_index", statements: [TRANSACTION_KEYS_INDEX] },
];
