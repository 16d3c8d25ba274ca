import type { Migration } from "./apply.ts";

export const migration: Migration = {
  name: "0005_user_events_traceparent",
  statements: [
    // A traced transaction sets user_service.traceparent before it changes a user. After such a transaction the setting is
    // the empty string on its connection, hence the nullif.
    `alter table user_events
      add traceparent text default nullif(current_setting('user_service.traceparent', true), '')`,
  ],
};
