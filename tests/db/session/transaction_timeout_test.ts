/** The server ends a transaction after the time that its session has said, whatever was set before the transaction began. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionLostError,
  type Database,
  type SessionOptions,
  sql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

/** Behind a few transactions a connection is known to be direct, and its session has the timeouts of the settings. */
async function warmUp(db: Database): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await db.session().commit([sql`select 1`]);
}

async function run(db: Database, seconds: number, options: SessionOptions): Promise<void> {
  await db.session(options).commit([sql`select pg_sleep(${seconds}::float8)`]);
}

const SHORT = { DATABASE_STATEMENT_TIMEOUT: "0.3", DATABASE_TRANSACTION_TIMEOUT: "0.3" };
const ONE = { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" };

for (const readOnly of [true, false]) {
  Deno.test(`a transaction may have longer than the others of its connection, with readOnly: ${readOnly}`, async () => {
    await using branch = await database.connect();
    const db = branch.open({ ...ONE, ...SHORT });
    await warmUp(db);
    await run(db, 0.6, { readOnly, statementTimeoutMs: 5_000, transactionTimeoutMs: 5_000 });
    await run(db, 0.6, { readOnly, statementTimeoutMs: 0, transactionTimeoutMs: 0 });
    assertEquals(db.stats().counters.connected, 1);
  });

  Deno.test(`the server ends a transaction that has less time than the others of its connection, with readOnly: ${readOnly}`, async () => {
    await using branch = await database.connect();
    const db = branch.open(ONE);
    await warmUp(db);
    const error = await assertRejects(
      () => run(db, 5, { readOnly, transactionTimeoutMs: 300 }),
      ConnectionLostError,
    );
    assertEquals((error.cause as { sqlState?: string }).sqlState, "25P04");
  });
}

Deno.test("a role's own transaction_timeout does not shorten a transaction", async () => {
  await using branch = await database.connect();
  const name = new URL(branch.env["DATABASE_URL"]!).pathname.slice(1);
  await branch.asAdmin(`alter database "${name}" set transaction_timeout = '300ms'`);
  const db = branch.open(ONE);
  // On a new connection, in the transaction that sets the session's timeouts, and in one that finds them set.
  for (let turn = 0; turn < 3; turn++) await run(db, 0.6, {});
  assertEquals(db.stats().counters.connected, 1);
});
