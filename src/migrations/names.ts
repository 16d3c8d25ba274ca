/**
 * The migrations by name, in the order in which they are applied. Apart from their statements, which a Worker does not
 * need.
 */
export const migrationNames: readonly string[] = [
  "0001_users",
  "0002_user_events",
  "0003_queue",
  "0004_transaction_keys",
  "0005_user_events_traceparent",
  "0006_transaction_keys_index",
  "0007_no_inbox",
  "0008_tenants",
  "0009_user_search",
  "0010_idempotency_keys",
  "0011_compiled_folding",
];
