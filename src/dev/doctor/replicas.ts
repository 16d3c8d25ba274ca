/** What the doctor says about each server of `DATABASE_REPLICA_URLS`: whether it would answer reads of the service. */
import { SYSTEM_IDENTIFIER } from "../../db/driver/system_identifier.ts";
import { ConnectError } from "../../db/mod.ts";
import { serverAddress } from "../../library/database_address.ts";
import { pollUntil } from "../../library/testing/postgres/poll.ts";
import type { Patient } from "./checks.ts";
import { connectFailure } from "./connect_failure.ts";
import { DoctorConnection, type Row } from "./connection.ts";
import type { Finding } from "./finding.ts";

/** By these a replica tells how far it is. */
const FUNCTIONS = ["pg_control_system", "pg_control_checkpoint", "pg_control_recovery"];

/** The tables that are read without a change. */
const TABLES = ["users", "user_activity"];

/** The longest that the doctor waits for a replica to replay what the primary has written. */
const CATCH_UP_MS = 5_000;
const LOOK_EVERY_MS = 50;

type Outcome = Omit<Finding, "name">;

/** One finding for each replica, or one about the primary if no replica could answer because of it. */
export async function replicaFindings(patient: Patient): Promise<Finding[]> {
  const { settings, connection } = patient;
  const { urls = [], maxStalenessMs = CATCH_UP_MS } = settings.database.replicas ?? {};
  if (urls.length === 0) return [];
  const [primary] = await connection.ask(
    `select ${SYSTEM_IDENTIFIER} as cluster, case when not pg_is_in_recovery() then ` +
      "pg_current_wal_flush_lsn()::text end as written",
  );
  // The finding about the server has said so.
  if (typeof primary?.["written"] !== "string") return [];
  if (typeof primary["cluster"] !== "string") {
    return [{
      name: "replicas",
      status: "failed",
      found: "this role may not execute pg_control_system() on the primary",
      advice: "Grant it execute on that function: until then the primary answers all reads.",
    }];
  }
  const catchUpMs = Math.min(maxStalenessMs, CATCH_UP_MS);
  return await Promise.all(urls.map(async (url, index) => {
    const { host, port } = serverAddress(url);
    const { found, ...outcome } = await examine(url, patient, { primary, catchUpMs });
    const server = port === undefined ? host : `${host}, port ${port}`;
    return { name: `replica ${index + 1}`, ...outcome, found: `${server}: ${found}` };
  }));
}

/** Never rejects. */
async function examine(
  url: string,
  { settings }: Patient,
  { primary, catchUpMs }: { primary: Row; catchUpMs: number },
): Promise<Outcome> {
  try {
    const database = { ...settings.database, url };
    await using replica = await DoctorConnection.open({ database });
    return await problemOf(replica, primary) ?? await progressOf(replica, primary, catchUpMs);
  } catch (error) {
    const { found, advice } = error instanceof ConnectError
      ? connectFailure(error, "DATABASE_REPLICA_URLS")
      : {
        found: error instanceof Error ? error.message : String(error),
        advice: "The replica answered a statement of the doctor by this error.",
      };
    return { status: "failed", found, advice };
  }
}

/** Why the replica would answer no read, or must not. */
async function problemOf(replica: DoctorConnection, primary: Row): Promise<Outcome | undefined> {
  const failed = (found: string, advice: string) => ({ status: "failed", found, advice }) as const;
  const names = (of: readonly string[]) => of.map((name) => `'${name}'`).join(", ");
  const [row] = await replica.ask(`select pg_is_in_recovery() as is_standby,
    ${SYSTEM_IDENTIFIER} as cluster,
    (select string_agg(name || '()', ', ') from unnest(array[${names(FUNCTIONS)}]) as name
      where not has_function_privilege(to_regprocedure('pg_catalog.' || name || '()'), 'execute')) as denied,
    (select string_agg(name, ', ') from unnest(array[${names(TABLES)}]) as name
      where not coalesce(has_table_privilege(to_regclass(name), 'select'), false)) as unreadable,
    (select rolsuper or rolbypassrls from pg_roles where rolname = current_user) as sees_all`);
  const { is_standby: isStandby, cluster, denied, unreadable, sees_all: seesAll } = row!;
  if (isStandby !== true) {
    return failed(
      "this server is no standby",
      "Name streaming standbys of the primary only: all others answer no read.",
    );
  }
  if (typeof denied === "string") {
    return failed(
      `the role may not execute ${denied}`,
      "Grant it execute on the primary: the replica cannot tell how far it is.",
    );
  }
  if (cluster !== primary["cluster"]) {
    return failed(
      "this is a standby of another cluster",
      "Name a standby of the server of DATABASE_URL.",
    );
  }
  if (seesAll === true) {
    return failed(
      "the role is a superuser or has BYPASSRLS",
      "Let the service log in as another role: this one sees the rows of all tenants.",
    );
  }
  if (typeof unreadable === "string") {
    return failed(
      `the role may not read ${unreadable}`,
      "Grant it select on the primary, and apply the migrations there.",
    );
  }
  return undefined;
}

/** Whether it replays what the primary had written. */
async function progressOf(
  replica: DoctorConnection,
  { written }: Row,
  catchUpMs: number,
): Promise<Outcome> {
  let behind = 0;
  const hasCaughtUp = async () => {
    const [row] = await replica.ask(
      `select greatest(pg_wal_lsn_diff('${written}', pg_last_wal_replay_lsn()), 0)::float8 as behind`,
    );
    behind = Number(row?.["behind"]);
    return behind === 0;
  };
  const startedAt = performance.now();
  if (await pollUntil(hasCaughtUp, { deadlineMs: catchUpMs, intervalMs: LOOK_EVERY_MS })) {
    const tookMs = Math.round(performance.now() - startedAt);
    return {
      status: "ok",
      found: `a standby, which had what the primary had written after ${tookMs} ms`,
      advice: "Nothing to do.",
    };
  }
  return {
    status: "advice",
    found: `a standby, which is ${behind} bytes behind after ${catchUpMs} ms`,
    advice: "See whether its replay is paused or slow: the primary answers what it is too old for.",
  };
}
