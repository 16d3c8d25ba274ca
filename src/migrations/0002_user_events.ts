import type { Migration } from "./apply.ts";

export const migration: Migration = {
  name: "0002_user_events",
  statements: [
    // The outbox, which is also the queue on Deno. A row is deleted when its event is delivered.
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
};
