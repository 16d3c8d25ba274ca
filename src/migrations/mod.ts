/** All migrations of the service, in the order in which they are applied. */
import type { Migration } from "./apply.ts";
import { migration as users } from "./0001_users.ts";
import { migration as userEvents } from "./0002_user_events.ts";
import { migration as queue } from "./0003_queue.ts";
import { migration as transactionKeys } from "./0004_transaction_keys.ts";
import { migration as userEventsTraceparent } from "./0005_user_events_traceparent.ts";
import { migration as transactionKeysIndex } from "./0006_transaction_keys_index.ts";
import { migration as noInbox } from "./0007_no_inbox.ts";
import { migration as tenants } from "./0008_tenants.ts";
import { migration as userSearch } from "./0009_user_search.ts";
import { migration as idempotencyKeys } from "./0010_idempotency_keys.ts";
import { migration as compiledFolding } from "./0011_compiled_folding.ts";

export const migrations: readonly Migration[] = [
  users,
  userEvents,
  queue,
  transactionKeys,
  userEventsTraceparent,
  transactionKeysIndex,
  noInbox,
  tenants,
  userSearch,
  idempotencyKeys,
  compiledFolding,
];
