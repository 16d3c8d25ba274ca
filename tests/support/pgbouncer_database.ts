/** A local database behind PgBouncer, and a search for what its clients have left on the server connections. */
import { type Connection, NeonDriver } from "../../src/db/mod.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { type Branch, branchOf, type Env } from "./branch.ts";
import { type LocalBranch, localDatabase } from "./local_database.ts";
import { type PgBouncerSettings, POOL_SIZE, startPgBouncer } from "./pgbouncer.ts";
import { type Role, testServer } from "./test_server.ts";

export interface PgBouncerBranch extends LocalBranch {
  /** Waits until no client has a server connection, then lists what is left on them, as `backend: what`. */
  leftovers(): Promise<string[]>;
}

export interface PgBouncerDatabase {
  /**
   * Gives access to it, through a new relay. The administrator's connections bypass PgBouncer. With `settings`, starts a
   * PgBouncer that has them.
   */
  connect(settings?: PgBouncerSettings): Promise<PgBouncerBranch>;
}

/** Creates a local database, and starts a PgBouncer. Call it once in each test file. */
export async function pgBouncerDatabase(program: string): Promise<PgBouncerDatabase> {
  const database = await localDatabase();
  const server = await testServer();
  const shared = await startPgBouncer(program, server);
  Deno.test.afterAll(shared.stop);
  return {
    async connect(settings) {
      const own = settings && await startPgBouncer(program, server, settings);
      const { port } = own ?? shared;
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
          await own?.stop();
          await direct[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** Lists the state of a server connection that a pooler in transaction mode does not reset. */
const LEFTOVERS = `
  select pg_backend_pid() as backend, array(
    select 'setting ' || name || ' = ' || setting from pg_settings
      -- The pooler itself sets these to the values of its client.
      where source = 'session' and name not in
        ('application_name', 'client_encoding', 'DateStyle', 'IntervalStyle', 'TimeZone',
         'standard_conforming_strings')
    union all
    select 'local app.user' where current_setting('app.user', true) <> ''
    union all
    select 'prepared statement ' || name from pg_prepared_statements
    union all
    -- The cursor without a name is that of this query.
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
    // Each client keeps its server connection until all have one, so that every server connection is searched.
    const found = await Promise.all(clients.map(search));
    return found.flatMap(({ backend, left }) => left.map((what) => `${backend}: ${what}`));
  } finally {
    await Promise.all(clients.map((client) => client.close({ timeoutMs: 5_000 })));
  }
}

async function search(client: Connection): Promise<{ backend: number; left: string[] }> {
  const { results, error } = await client.flight([
    { text: "begin", values: [] },
    { text: LEFTOVERS, values: [] },
  ]);
  if (error !== undefined) throw error;
  return results[1]!.rows[0] as { backend: number; left: string[] };
}

/** The server may still roll back the transaction of a client that has left. */
async function untilNoneIsInTransaction(branch: Branch): Promise<void> {
  const isDone = async () => {
    const [row] = await branch.asAdmin<{ count: number }>(`
      select count(*)::int as count from pg_stat_activity
      where usename = 'user_service' and datname = current_database() and state <> 'idle'`);
    return row?.count === 0;
  };
  if (await pollUntil(isDone, { deadlineMs: 5_000, intervalMs: 10 })) return;
  throw new Error("Cannot search the server connections as one is still in a transaction");
}
