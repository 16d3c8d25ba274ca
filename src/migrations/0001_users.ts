import type { Migration } from "./apply.ts";

export const migration: Migration = {
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
};
