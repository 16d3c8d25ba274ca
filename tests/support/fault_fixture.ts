/** What tests of faults share: a way to the database with faults on it, and looks at the server past them. */
import type { Connection, Statement } from "../../src/db/driver/driver.ts";
import { NeonDriver } from "../../src/db/mod.ts";
import { type FaultBranch, faultBranch } from "./fault_branch.ts";
import type { LocalDatabase } from "./local_database.ts";

/** Fails rather than hangs: nearly every fault makes somebody wait. */
export function faultTestsOn(database: LocalDatabase) {
  return (name: string, fn: (branch: FaultBranch) => Promise<void>): void => {
    Deno.test({
      name,
      timeout: 20_000,
      async fn() {
        await using branch = await faultBranch(database);
        await fn(branch);
      },
    });
  };
}

export async function connect(
  branch: FaultBranch,
  role: "user_service" | "user_service_scram" = "user_service",
  timeoutMs = 5_000,
): Promise<Connection> {
  const connection = await driverOf(branch, role).connect({ timeoutMs });
  await connection.ready;
  return connection;
}

export function driverOf(
  branch: FaultBranch,
  role: "user_service" | "user_service_scram",
): NeonDriver {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.envOf(role);
  return new NeonDriver({
    url: url!,
    wsProxy,
    pipelineConnect: role === "user_service",
    applicationName: "faulty",
  });
}

export function statement(text: string): Statement {
  return { text, values: [] };
}

export function insert(name: string): Statement {
  return {
    text: `insert into users (id, email, name)
      values (gen_random_uuid(), gen_random_uuid()::text, $1)`,
    values: [name],
  };
}

export async function rowsOf({ asAdmin }: FaultBranch, name: string): Promise<number> {
  const [row] = await asAdmin<{ count: number }>(
    `select count(*)::int as count from users where name = '${name}'`,
  );
  return row!.count;
}

/**
 * The rows once they are as many as expected, or what they are after many looks: a server may still be at work on what
 * it has been passed when its client has been cut.
 */
export async function rowsInTheEnd(
  branch: FaultBranch,
  { name, expected }: { name: string; expected: number },
): Promise<number> {
  let rows = await rowsOf(branch, name);
  for (let look = 0; look < 500 && rows !== expected; look++) rows = await rowsOf(branch, name);
  return rows;
}

/** Connections through the fault relay that the server still has. */
export async function backends({ asAdmin }: FaultBranch): Promise<number> {
  const [row] = await asAdmin<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where application_name = 'faulty' and datname = current_database()`,
  );
  return row!.count;
}

/** Until the server has let go of every connection. Each look is a round trip; the test's own time bounds them. */
export async function serverDone(branch: FaultBranch): Promise<void> {
  while (await backends(branch) > 0);
}
