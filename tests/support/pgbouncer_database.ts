/** A local database reached through PgBouncer, and a look at what its clients have left on its server connections. */
import { type Connection, NeonDriver } from "../../src/db/mod.ts";
import { pollUntil } from "../../src/dev/poll.ts";
import { startRelay } from "../../src/dev/relay/relay.ts";
import { type Branch, branchOf, type Env } from "./branch.ts";
import { type LocalBranch, localDatabase } from "./local_database.ts";
import { POOL_SIZE, startPgBouncer } from "./pgbouncer.ts";
import { type Role, testServer } from "./test_server.ts";

export interface PgBouncerBranch extends LocalBranch {
  /** What is left on server connections that are nobody's now, as `backend: what`; once all of them are. */
  leftovers(): Promise<string[]>;
}

export interface PgBouncerDatabase {
  /** Opens a way to it, through a relay of its own. Its administrator's way has no pooler. */
  connect(): Promise<PgBouncerBranch>;
}

/** Makes a local database behind a PgBouncer of its own. To be called once for each test file. */
export async function pgBouncerDatabase(program: string): Promise<PgBouncerDatabase> {
  const database = await localDatabase();
  const { port, stop } = await startPgBouncer(program, await testServer());
  Deno.test.afterAll(stop);
  return {
    async connect() {
      const direct = await database.connect();
      const relay = await startRelay({ targets: [{ hostname: "127.0.0.1", port }] });
      const envOf = (role: Role): Env => {
        const url = new URL(direct.envOf(role)["DATABASE_URL"]!);
        url.port = String(port);
        return {
          ...direct.envOf(role),
          DATABASE_URL: url.href,
          DATABASE_WS_PROXY: relay.url,
        };
      };
      const env = envOf("user_service");
      const branch = branchOf({ env, adminEnv: direct.envOf("postgres") });
      return {
        ...branch,
        envOf,
        leftovers: () => leftovers(branch),
        async [Symbol.asyncDispose]() {
          await branch[Symbol.asyncDispose]();
          await relay.close();
          await direct[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** What a pooler that lends by the transaction cannot take back from a server connection. */
const LOOK = `
  select pg_backend_pid() as backend, array(
    select 'setting ' || name || ' = ' || setting from pg_settings
      -- Which the pooler itself keeps as its client has them.
      where source = 'session' and name not in
        ('application_name', 'client_encoding', 'DateStyle', 'IntervalStyle', 'TimeZone',
         'standard_conforming_strings')
    union all
    select 'local app.user' where current_setting('app.user', true) <> ''
    union all
    select 'prepared statement ' || name from pg_prepared_statements
    union all
    -- The look itself is the one without a name.
    select 'cursor ' || name from pg_cursors where name <> ''
    union all
    select 'channel ' || channel from pg_listening_channels() as channel
    union all
    select 'advisory lock ' || objid from pg_locks
      where locktype = 'advisory' and pid = pg_backend_pid()
    union all
    select 'temporary schema' where pg_my_temp_schema() <> 0
  ) as left`;

async function leftovers(branch: Branch): Promise<string[]> {
  await untilNoneIsInTransaction(branch);
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const clients = await Promise.all(
    Array.from({ length: POOL_SIZE }, () => driver.connect({ timeoutMs: 5_000 })),
  );
  try {
    // Each keeps its server connection until all have one: so all are looked at.
    const looks = await Promise.all(clients.map(look));
    return looks.flatMap(({ backend, left }) => left.map((what) => `${backend}: ${what}`));
  } finally {
    await Promise.all(clients.map((client) => client.close({ timeoutMs: 5_000 })));
  }
}

async function look(client: Connection): Promise<{ backend: number; left: string[] }> {
  const { results, error } = await client.flight([
    { text: "begin", values: [] },
    { text: LOOK, values: [] },
  ]);
  if (error !== undefined) throw error;
  return results[1]!.rows[0] as { backend: number; left: string[] };
}

/** A server may still be at work on the rollback of a client that has left. */
async function untilNoneIsInTransaction(branch: Branch): Promise<void> {
  const isDone = async () => {
    const [row] = await branch.asAdmin<{ count: number }>(`
      select count(*)::int as count from pg_stat_activity
      where usename = 'user_service' and datname = current_database() and state <> 'idle'`);
    return row?.count === 0;
  };
  if (await pollUntil(isDone, { deadlineMs: 5_000, intervalMs: 10 })) return;
  throw new Error("Cannot look at the server connections as one is still in a transaction");
}
