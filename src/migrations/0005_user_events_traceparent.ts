import type { Migration } from "./apply.ts";

export const migration: Migration = {
  name: "0005_user_events_traceparent",
  statements: [
    // A traced transaction sets user_service.traceparent before it changes a user. On a connection that carried such a
    // transaction before, the setting is the empty string.
    `alter table user_events
      add traceparent text default nullif(current_setting('user_service.traceparent', true), '')`,
  ],
};
