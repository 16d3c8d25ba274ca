import type { Migration } from "./apply.ts";

/** As in 0008_tenants. */
const CURRENT = "coalesce(nullif(current_setting('app.tenant', true), ''), 'default')";
const IS_OF_TENANT_OR_SERVICE = `case ${CURRENT} when '*' then true else tenant = ${CURRENT} end`;

/**
 * Columns and statements: `src/idempotency_keys.ts`. The index of the keys does not begin with the tenant, as the
 * others do: the policy lets the service see all tenants, so that the tenant would not narrow the search. A key is a digest
 * of its tenant, too.
 */
export const migration: Migration = {
  name: "0010_idempotency_keys",
  statements: [
    `create table idempotency_keys (
      tenant text not null default ${CURRENT},
      key text constraint idempotency_keys_pkey primary key,
      fingerprint text not null,
      made jsonb,
      results jsonb not null default '[]',
      refusal jsonb,
      created_at timestamptz not null default now()
    )`,
    "create index idempotency_keys_created_at on idempotency_keys (created_at)",
    `create policy idempotency_keys_of_tenant on idempotency_keys
      using (${IS_OF_TENANT_OR_SERVICE})
      with check (${IS_OF_TENANT_OR_SERVICE} and tenant <> '*')`,
    "alter table idempotency_keys enable row level security",
    "alter table idempotency_keys force row level security",
  ],
};
