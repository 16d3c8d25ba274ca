/**
 * Whose rows a unit of work reads and writes. Row-level security compares the column `tenant` of each table with the
 * setting that a unit of work gets here: `src/migrations/0008_tenants.ts`.
 */
import { BoundedMap } from "./bounded_map.ts";
import { type Sql, sql, type TransactionRunner } from "./db/mod.ts";
import { mapSessionOptions } from "./session_options.ts";

/** What a tenant may be called. `*` is none of these names. */
export const TENANT_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** The tenant of rows from before there were tenants, and of a unit of work that sets none. */
export const DEFAULT_TENANT = "default";

/** `SessionOptions.locals` of one tenant. */
export type TenantLocals = Readonly<Record<string, string>>;

const SETTING = "app.tenant";

/** The service's own work on queue, keys and dead letters sees those of all tenants. Users it sees none of. */
export const EVERY_TENANT: TenantLocals = Object.freeze({ [SETTING]: "*" });

/** One object for each tenant: `db` keeps what it sends for a frozen one. */
const localsByTenant = new BoundedMap<string, TenantLocals>(1_000);

/** The tenant of locals that `tenantLocals` has made. */
const tenants = new WeakMap<TenantLocals, string>();

/** The setting that makes a unit of work one of the tenant, beside `more` settings; those are made once for many units. */
export function tenantLocals(tenant: string, more?: TenantLocals): TenantLocals {
  if (more !== undefined) return makeLocals(tenant, more);
  let locals = localsByTenant.get(tenant);
  if (locals === undefined) localsByTenant.set(tenant, locals = makeLocals(tenant, {}));
  return locals;
}

function makeLocals(tenant: string, more: TenantLocals): TenantLocals {
  const locals = Object.freeze(withTenant(more, tenant));
  tenants.set(locals, tenant);
  return locals;
}

/** PostgreSQL takes names of settings in any case, and of two of one name the last. */
function withTenant(locals: TenantLocals, tenant: string): TenantLocals {
  const others = Object.entries(locals).filter(([name]) => name.toLowerCase() !== SETTING);
  return Object.fromEntries([...others, [SETTING, tenant]]);
}

/** Makes the rest of a transaction one of another tenant. */
export function tenantSwitch(tenant: string): Sql {
  return sql`select set_config('app.tenant', ${tenant}, true)`;
}

/** The same database, each of whose units of work is one of the tenant, whatever its own options say. */
export function asTenant(db: TransactionRunner, tenant: string): TransactionRunner {
  const own = tenantLocals(tenant);
  return mapSessionOptions(db, (options) => {
    const { locals = own } = options;
    const isOfTenant = tenants.get(locals) === tenant;
    return { ...options, locals: isOfTenant ? locals : withTenant(locals, tenant) };
  });
}
