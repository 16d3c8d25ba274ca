/** A lost COMMIT through PgBouncer in transaction mode, where the lookup runs on another server connection. */
import { assertEquals } from "@std/assert";
import { sql } from "../../../src/db/mod.ts";
import {
  COMMIT,
  COMMITTED,
  dropBefore,
  type FaultRelay,
  hold,
  startFaultRelay,
} from "../../support/fault_relay.ts";
import type { PgBouncerBranch } from "../../support/pgbouncer_database.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";

function relayedTest(
  name: string,
  run: (branch: PgBouncerBranch, relay: FaultRelay) => Promise<void>,
): void {
  pgBouncerTest(name, async (branch) => {
    const { hostname, port } = new URL(branch.env["DATABASE_URL"]!);
    await using relay = await startFaultRelay({ targets: [{ hostname, port: Number(port) }] });
    await run(branch, relay);
  });
}

async function rowsOf(branch: PgBouncerBranch, name: string): Promise<number | undefined> {
  const [row] = await branch.asAdmin<{ rows: number }>(
    `select count(*)::int as rows from users where name = '${name}'`,
  );
  return row?.rows;
}

/** Runs a unit that meets the relay's fault once. Returns its result, its runs and its rows. */
async function runStruck(
  branch: PgBouncerBranch,
  relay: FaultRelay,
  { name, statementTimeout = "15" }: { name: string; statementTimeout?: string },
) {
  const db = branch.open({
    DATABASE_WS_PROXY: relay.url,
    DATABASE_STATEMENT_TIMEOUT: statementTimeout,
  });
  let runs = 0;
  const result = await db.transaction(async (session) => {
    runs++;
    await session.query(sql`insert into users (id, email, name)
      values (gen_random_uuid(), gen_random_uuid()::text, ${name})`);
    await session.commit();
    return "done";
  }).catch((error) => error.name);
  return { result, runs, rows: await rowsOf(branch, name), resolved: db.stats().resolved };
}

for (
  const [what, point, runs] of [
    ["answer was lost", COMMITTED, 1],
    ["server never saw it", COMMIT, 2],
  ] as const
) {
  relayedTest(`a COMMIT whose ${what} is resolved`, async (branch, relay) => {
    const armed = relay.when(point, dropBefore());
    const seen = await runStruck(branch, relay, { name: what });
    assertEquals(seen, { result: "done", runs, rows: 1, resolved: 1 });
    assertEquals(armed.strikes, 1);
  });
}

relayedTest("a COMMIT that is held until the client has timed out has no effect", async (
  branch,
  relay,
) => {
  const armed = relay.when(COMMIT, hold());
  const name = "held";
  const seen = await runStruck(branch, relay, { name, statementTimeout: "0.1" });
  armed.release();
  assertEquals(seen, { result: "DeadlineError", runs: 1, rows: 0, resolved: 1 });
  assertEquals(await rowsOf(branch, name), 0);
});
