/** The consumers' own tables. */

import type { Migration } from "../users/migrations.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0003_queue",
    statements: [
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
  },
];
