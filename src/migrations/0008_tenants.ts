import type { Migration } from "./apply.ts";

/**
 * The tenant of a unit of work. Without the setting it is `default`, as for the version before this migration, which knows
 * no tenants: an unset setting shows no other tenant's rows. After a transaction that has set it, the setting is the empty
 * string on its connection, hence the nullif.
 */
const CURRENT = "coalesce(nullif(current_setting('app.tenant', true), ''), 'default')";

/** Rows of the tenant. `*` can write none, and so sees none. */
const OF_TENANT = `using (tenant = ${CURRENT}) with check (tenant = ${CURRENT} and tenant <> '*')`;

/**
 * The same, and rows of all tenants for the service's own work, which is `*`. Not by OR, of which the planner would expect
 * one row in 200: it would read the whole table to prune some old keys.
 */
const IS_OF_TENANT_OR_SERVICE = `case ${CURRENT} when '*' then true else tenant = ${CURRENT} end`;
const OF_TENANT_OR_SERVICE = `using (${IS_OF_TENANT_OR_SERVICE}) ` +
  `with check (${IS_OF_TENANT_OR_SERVICE} and tenant <> '*')`;

const POLICIES = {
  users: OF_TENANT,
  user_events: OF_TENANT_OR_SERVICE,
  user_activity: OF_TENANT_OR_SERVICE,
  dead_letters: OF_TENANT_OR_SERVICE,
  transaction_keys: OF_TENANT_OR_SERVICE,
};

export const migration: Migration = {
  name: "0008_tenants",
  statements: [
    ...Object.entries(POLICIES).flatMap(([table, policy]) => [
      // In two steps: the rows that exist are of `default`, whatever the setting of this session is.
      `alter table ${table} add column tenant text not null default 'default'`,
      `alter table ${table} alter column tenant set default ${CURRENT}`,
      `create policy ${table}_of_tenant on ${table} ${policy}`,
      `alter table ${table} enable row level security`,
      // For the owner too: without this, policies do not apply to the owner.
      `alter table ${table} force row level security`,
    ]),
    // An address is unique within its tenant. The name stays, as the running version knows the error by it.
    "create unique index users_tenant_email on users (tenant, lower(email))",
    "drop index users_email_key",
    "alter index users_tenant_email rename to users_email_key",
  ],
};
