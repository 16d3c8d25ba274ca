import type { Migration } from "./apply.ts";

export const migration: Migration = {
  name: "0003_queue",
  statements: [
    `create table inbox (
      consumer text not null,
      message_id text not null,
      handled_at timestamptz not null default now(),
      constraint inbox_pkey primary key (consumer, message_id)
    )`,
    `create index inbox_handled_at on inbox (handled_at)`,
    `create table dead_letters (
      id bigint generated always as identity primary key,
      consumer text not null,
      message_id text not null,
      body jsonb not null,
      error text not null,
      attempts integer not null,
      died_at timestamptz not null default now(),
      unique (consumer, message_id)
    )`,
  ],
};
