/** How a connection learns whether it is direct, and that this costs no other client of a pooler its answer. */
import { assertEquals, assertInstanceOf } from "@std/assert";
import type { Connection, Statement } from "../../../src/db/driver/driver.ts";
import { ServerError } from "../../../src/db/errors.ts";
import { NeonDriver } from "../../../src/db/mod.ts";
import type { Env } from "../../support/branch.ts";
import { hold, pass, startFaultRelay } from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";
import { findPgBouncer, startPgBouncer } from "../../support/pgbouncer.ts";
import { relayTo, testServer } from "../../support/test_server.ts";
import { WireLog } from "../../support/wire_log.ts";

const database = await localDatabase();
const pgBouncer = await findPgBouncer();

const statement = (text: string): Statement => ({ text, values: [] });
const BEGIN = statement("begin");
const COMMIT = statement("commit");

async function connectTo({ DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy }: Env) {
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  return await driver.connect({ timeoutMs: 5_000 });
}

function onConnection(
  name: string,
  test: (connection: Connection, log: WireLog) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const log = new WireLog();
    await using branch = await database.connect({ observe: log.observe });
    const connection = await connectTo(branch.env);
    try {
      await test(connection, log);
    } finally {
      await connection.close({ timeoutMs: 5_000 });
    }
  });
}

onConnection(
  "the first flight with COMMIT tells, and returns its own results",
  async (connection) => {
    const first = await connection.flight([BEGIN, statement("select 1 as n")]);
    assertEquals([first.results.length, connection.isDirect], [2, undefined]);
    const { results, status } = await connection.flight([statement("select 2 as n"), COMMIT]);
    assertEquals(results.map(({ command, rows }) => [command, rows]), [
      ["SELECT", [{ n: 2 }]],
      ["COMMIT", []],
    ]);
    assertEquals([status, connection.isDirect], ["I", true]);
  },
);

onConnection("nothing is sent behind the Sync of a transaction's end", async (connection, log) => {
  await connection.flight([BEGIN, COMMIT]);
  await connection.flight([BEGIN, COMMIT]);
  const [first, second] = log.take().map((messages) => messages.split(" "));
  for (const sent of [first!, second!]) {
    assertEquals([sent.filter((kind) => kind === "Sync").length, sent.at(-1)], [1, "Sync"]);
  }
});

onConnection("after an error a later flight asks", async (connection) => {
  const failed = await connection.flight([BEGIN, statement("select 1/0"), COMMIT]);
  assertInstanceOf(failed.error, ServerError);
  assertEquals(failed.results.length, 1);
  // A question in the failed transaction would keep COMMIT from being run.
  const { results, status } = await connection.flight([COMMIT]);
  assertEquals([results.map(({ command }) => command), status], [["ROLLBACK"], "I"]);
  assertEquals(connection.isDirect, undefined);
  await connection.flight([BEGIN, COMMIT]);
  assertEquals(connection.isDirect, true);
});

onConnection("a snapshot is not older than the caller's locks", async (connection) => {
  const { error, results } = await connection.flight([
    statement("begin isolation level repeatable read"),
    // Refused behind any query: https://www.postgresql.org/docs/current/sql-set-transaction.html
    statement("set transaction isolation level serializable"),
    COMMIT,
  ]);
  assertEquals([error, results.length, connection.isDirect], [undefined, 3, true]);
});

Deno.test({
  name: "a client of PgBouncer that leaves behind its first COMMIT leaves no answer to the next" +
    (pgBouncer === undefined ? " (skipped: `pgbouncer` is not installed)" : ""),
  ignore: pgBouncer === undefined,
  timeout: 30_000,
  async fn() {
    await using branch = await database.connect();
    const server = await testServer();
    await using faults = await startFaultRelay({
      targets: [{ hostname: "127.0.0.1", port: server.port }],
    });
    const behindFaults = { ...server, port: faults.tcpPort };
    const pooler = await startPgBouncer(pgBouncer!, behindFaults, { default_pool_size: "1" });
    try {
      await using relay = await relayTo({ ...server, port: pooler.port });
      const url = new URL(branch.env["DATABASE_URL"]!);
      url.port = `${pooler.port}`;
      const env = { DATABASE_URL: url.href, DATABASE_WS_PROXY: relay.url };
      // Whatever the server says behind the end of the first transaction reaches PgBouncer late.
      let hasEnded = false;
      const late = faults.when({
        direction: "toClient",
        where({ kind, statement }) {
          const isBehind = hasEnded;
          hasEnded ||= kind === "ReadyForQuery" && /first/.test(statement);
          return isBehind;
        },
      }, hold());
      const asked = faults.when({
        direction: "toServer",
        kind: "Sync",
        statement: /second/,
      }, pass());
      const first = await connectTo(env);
      await first.flight([BEGIN, statement("select 1 as first"), COMMIT]);
      await first.close({ timeoutMs: 5_000 });
      const second = await connectTo(env);
      const answer = second.flight([statement("select 2 as second")]);
      // PgBouncer has lent the server connection of the first to the second.
      await asked.struck();
      late.clear();
      late.release();
      assertEquals((await answer).results[0]!.rows, [{ second: 2 }]);
      assertEquals(first.isDirect, false);
      await second.close({ timeoutMs: 5_000 });
    } finally {
      await pooler.stop();
    }
  },
});
