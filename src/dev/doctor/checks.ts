/** The points that the doctor looks at, once it has logged in. */
import { openDatabase } from "../../library/deno/mod.ts";
import { compareSchema } from "../../migrations/schema_state.ts";
import type { Settings } from "../../settings/settings.ts";
import type { DoctorConnection } from "./connection.ts";
import type { Finding } from "./finding.ts";
import { detectPooler, type Pooler } from "./pooler.ts";

export interface Patient {
  readonly settings: Settings;
  readonly connection: DoctorConnection;
  /** Processes of the service with these settings. */
  readonly instances: number;
}

const OLDEST_VERSION = 130_000;
/** From this version on the server itself ends long transactions. */
const TRANSACTION_TIMEOUT_VERSION = 170_000;
const SKEW_MAX_MS = 1_000;
const ROUND_TRIPS = 11;
const ROUND_TRIP_GOOD_MS = 5;

/** The tables that the service reads and writes. */
export const TABLES = [
  "users",
  "user_events",
  "user_activity",
  "dead_letters",
  "transaction_keys",
  "idempotency_keys",
];

export async function serverFinding({ connection }: Patient): Promise<Finding> {
  const [row] = await connection.ask(`select current_setting('server_version') as version,
    current_setting('server_version_num')::int as number, pg_is_in_recovery() as is_standby,
    current_setting('default_transaction_read_only') = 'on' as is_read_only`);
  const { version, number, is_standby: isStandby, is_read_only: isReadOnly } = row as {
    version: string;
    number: number;
    is_standby: boolean;
    is_read_only: boolean;
  };
  const state = isStandby
    ? ", a standby, which is read only"
    : isReadOnly
    ? ", where transactions of this role are read only by default"
    : "";
  const found = `PostgreSQL ${version}${state}`;
  const finding = (status: Finding["status"], advice: string) =>
    ({ name: "server", status, found, advice }) as const;
  if (number < OLDEST_VERSION) return finding("failed", "Use PostgreSQL 13 or newer.");
  if (isStandby) {
    return finding("failed", "Name the primary in DATABASE_URL: a standby takes no writes.");
  }
  if (isReadOnly) {
    return finding(
      "failed",
      "Reset default_transaction_read_only of the role, of the database or of the server.",
    );
  }
  if (number >= TRANSACTION_TIMEOUT_VERSION) {
    return finding("ok", "The server itself enforces DATABASE_TRANSACTION_TIMEOUT.");
  }
  return finding(
    "advice",
    "From PostgreSQL 17 on, the server also ends transactions of a service that has died.",
  );
}

export async function poolerFinding(
  { settings, connection }: Patient,
): Promise<{ pooler: Pooler; finding: Finding }> {
  const pooler = await detectPooler(settings, connection);
  const prepared = pooler.keepsPrepared ? "keeps" : "does not keep";
  const [found, advice] = {
    none: [
      "none, a connection is a backend of PostgreSQL",
      "The pool of each instance counts against max_connections.",
    ],
    session: [
      `a proxy or a pooler in session mode, which ${prepared} prepared statements`,
      "Each connection of the pool takes one of the server's: transaction mode would share them.",
    ],
    transaction: [
      `a pooler in transaction mode, which ${prepared} statements of PREPARE`,
      "The service sends nothing that outlives a transaction; let other programs that need LISTEN, SET " +
      "or advisory locks of a session connect directly.",
    ],
  }[pooler.mode] as [string, string];
  return { pooler, finding: { name: "pooler", status: "ok", found, advice } };
}

/** `max_connections` against what the instances may open together. */
export async function capacityFinding(
  { settings, connection, instances }: Patient,
  pooler: Pooler,
): Promise<Finding> {
  const [row] = await connection.ask(`select
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true), '0')::int as server,
    (select rolconnlimit from pg_roles where rolname = current_user) as role,
    (select datconnlimit from pg_database where datname = current_database()) as database`);
  const { server, role, database } = row as { server: number; role: number; database: number };
  // -1 is no limit of its own.
  const limit = Math.min(server, ...[role, database].filter((each) => each >= 0));
  const { size, maxOverflow } = settings.database.pool;
  const wanted = (size + maxOverflow) * instances;
  const found =
    `${limit} for this role on the server, ${wanted} wanted by ${instances} instance(s) of ` +
    `${size} + ${maxOverflow} connections`;
  const finding = (status: Finding["status"], advice: string) =>
    ({ name: "connections", status, found, advice }) as const;
  if (wanted <= limit) {
    return finding("ok", `Up to ${Math.floor(limit / (size + maxOverflow))} instances have room.`);
  }
  if (pooler.mode === "transaction") {
    return finding(
      "ok",
      "The pooler shares the server's connections; its own limit of clients counts.",
    );
  }
  const share = Math.floor(limit / instances);
  const change = share > 0
    ? `Lower DATABASE_POOL_SIZE + DATABASE_MAX_OVERFLOW to ${share} or less`
    : `Run at most ${limit} instances, raise max_connections`;
  return finding(
    size * instances <= limit ? "advice" : "failed",
    `${change}, or put a pooler in transaction mode in between.`,
  );
}

/** Tables of the service that exist, but not for this role: it may not use their schema, or does not search it. */
export interface HiddenTables {
  readonly tables: readonly string[];
  readonly schema: string;
  readonly mayUse: boolean;
}

export async function hiddenTables({ connection }: Patient): Promise<HiddenTables | undefined> {
  const rows = await connection.ask(`select relname as name, nspname as schema,
      has_schema_privilege(pg_namespace.oid, 'usage') as may_use
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relname in (${TABLES.map((name) => `'${name}'`).join(", ")})
      and relkind in ('r', 'p') and to_regclass(relname::text) is null
    order by relname`);
  const [first] = rows;
  if (first === undefined) return undefined;
  return {
    tables: rows.map(({ name }) => String(name)),
    schema: String(first["schema"]),
    mayUse: first["may_use"] === true,
  };
}

export async function rightsFinding(
  { connection }: Patient,
  hidden: HiddenTables | undefined,
): Promise<Finding> {
  const [role] = await connection.ask(`select current_user as name, rolsuper as super,
    rolbypassrls as bypasses, rolcreaterole or rolcreatedb as powerful
    from pg_roles where rolname = current_user`);
  const rows = await connection.ask(`select name, to_regclass(name) is not null as exists,
    coalesce(has_table_privilege(to_regclass(name), 'select')
      and has_table_privilege(to_regclass(name), 'insert')
      and has_table_privilege(to_regclass(name), 'update')
      and has_table_privilege(to_regclass(name), 'delete'), true) as granted,
    coalesce((select pg_has_role(relowner, 'member') from pg_class where oid = to_regclass(name)), false) as owned
    from unnest(array[${TABLES.map((name) => `'${name}'`).join(", ")}]) as name`);
  const lacking = rows.filter(({ granted }) => granted === false).map(({ name }) => name);
  const { name, super: isSuper, bypasses, powerful } = role as {
    name: string;
    super: boolean;
    bypasses: boolean;
    powerful: boolean;
  };
  const isOwner = rows.some(({ owned }) => owned === true);
  const kind = isSuper
    ? "a superuser"
    : bypasses
    ? "with BYPASSRLS"
    : isOwner
    ? "the owner of the tables"
    : "owner of nothing here";
  const found = `role ${JSON.stringify(name)}, ${kind}` +
    (lacking.length === 0 ? "" : `, without full rights on ${lacking.join(", ")}`);
  const finding = (status: Finding["status"], advice: string) =>
    ({ name: "rights", status, found, advice }) as const;
  if (hidden !== undefined) {
    return {
      name: "rights",
      status: "failed",
      found: `role ${JSON.stringify(name)} does not see ${
        hidden.tables.join(", ")
      } of schema ${hidden.schema}`,
      advice: hidden.mayUse
        ? `Add ${hidden.schema} to the search_path of the role.`
        : `Grant it usage on schema ${hidden.schema}.`,
    };
  }
  if (lacking.length > 0) {
    return finding("failed", "Grant it select, insert, update and delete on those tables.");
  }
  if (isSuper || bypasses) {
    return finding(
      "failed",
      "Let the service log in as another role: this one sees the rows of all tenants, whatever the policies say.",
    );
  }
  if (powerful || isOwner) {
    return finding(
      "advice",
      "Let the service log in as a role that may only read and write rows, and keep this one for " +
        "`deno task migrate`.",
    );
  }
  return finding("ok", "It may read and write rows, and cannot change tables.");
}

export async function migrationsFinding(
  { settings }: Patient,
  hidden: HiddenTables | undefined,
): Promise<Finding> {
  // What is wrong with replicas, `replicas.ts` says.
  await using db = openDatabase({ ...settings.database, replicas: undefined, retryAttempts: 1 });
  await using session = db.session({ readOnly: true, label: "doctor" });
  const { missing, unknown, isUnreadable } = await compareSchema(session);
  const finding = (status: Finding["status"], found: string, advice: string) =>
    ({ name: "migrations", status, found, advice }) as const;
  if (isUnreadable) {
    return finding(
      "advice",
      "not readable by this role",
      "Grant it select on the table migrations.",
    );
  }
  if (missing.length > 0) {
    return finding(
      "failed",
      `missing: ${missing.join(", ")}`,
      hidden === undefined
        ? 'Run "deno task migrate" as the owner of the tables.'
        : "See the rights: the role does not see the tables that exist.",
    );
  }
  return unknown.length > 0
    ? finding(
      "ok",
      `newer ones: ${unknown.join(", ")}`,
      "A newer version has been here; this one still works.",
    )
    : finding("ok", "all applied", "Nothing to do.");
}

/** The round trip's median, and the difference of the clocks, which that time bounds. */
export async function timeFindings({ connection }: Patient): Promise<Finding[]> {
  const samples: { roundTripMs: number; skewMs: number }[] = [];
  for (let index = 0; index < ROUND_TRIPS; index++) {
    const startedAt = performance.now();
    const beforeMs = Date.now();
    const [row] = await connection.ask(
      "select (extract(epoch from clock_timestamp()) * 1000)::float8 as now",
    );
    const roundTripMs = performance.now() - startedAt;
    samples.push({ roundTripMs, skewMs: Number(row?.["now"]) - beforeMs - roundTripMs / 2 });
  }
  samples.sort((one, other) => one.roundTripMs - other.roundTripMs);
  const medianMs = samples[Math.floor(ROUND_TRIPS / 2)]!.roundTripMs;
  // The fastest sample leaves the clocks the least room.
  const skewMs = Math.round(samples[0]!.skewMs);
  const isNear = medianMs <= ROUND_TRIP_GOOD_MS;
  const isSkewed = Math.abs(skewMs) > SKEW_MAX_MS;
  return [{
    name: "clocks",
    status: isSkewed ? "advice" : "ok",
    found: `the server is ${Math.abs(skewMs)} ms ${skewMs < 0 ? "behind" : "ahead"}`,
    advice: isSkewed
      ? "Let both machines keep their time by NTP: ages in logs, and of events in the queue, are wrong."
      : "Times of the service and of the server can be compared.",
  }, {
    name: "round trip",
    status: isNear ? "ok" : "advice",
    found: `${medianMs.toFixed(1)} ms, the median of ${ROUND_TRIPS}`,
    advice: isNear
      ? "The service is near its database."
      : "Run the service in the database's region: a write with its commit takes one to two round trips.",
  }];
}
