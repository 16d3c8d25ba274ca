/** Shared by tests of faults: connections through a fault relay, and queries to the server that pass no fault. */
import type { Connection, Statement } from "../../src/db/driver/driver.ts";
import { NeonDriver } from "../../src/db/mod.ts";
import { type FaultBranch, faultBranch } from "./fault_branch.ts";
import type { LocalDatabase } from "./local_database.ts";

/** Tests with a time limit: nearly every fault makes a client or a server wait, and a mistake would hang. */
export function faultTestsOn(database: LocalDatabase) {
  return (name: string, fn: (branch: FaultBranch) => Promise<void>): void => {
    Deno.test({
      name,
      timeout: 20_000,
      async fn() {
        await using branch = await faultBranch(database);
        // The test before may have left a backend that is still ending.
        await serverDone(branch);
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
    // Only the messages of the test's own statements are on the wire.
    prepare: "off",
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
 * Counts the rows until there are as many as expected, 500 times at most. The server may still work on a flight whose
 * client has been cut.
 */
export async function rowsInTheEnd(
  branch: FaultBranch,
  { name, expected }: { name: string; expected: number },
): Promise<number> {
  let rows = await rowsOf(branch, name);
  for (let count = 0; count < 500 && rows !== expected; count++) rows = await rowsOf(branch, name);
  return rows;
}

/** How many connections through the fault relay the server still has. */
export async function backends({ asAdmin }: FaultBranch): Promise<number> {
  const [row] = await asAdmin<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where application_name = 'faulty' and datname = current_database()`,
  );
  return row!.count;
}

/** Resolves when the server has closed every connection. Each query is a round trip; the test's time limit bounds them. */
export async function serverDone(branch: FaultBranch): Promise<void> {
  while (await backends(branch) > 0);
}
