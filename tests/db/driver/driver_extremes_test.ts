/** Messages that are unusually large, many or unexpected. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Connection } from "../../../src/db/driver/driver.ts";
import { NeonDriver } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

async function withConnection(
  work: (connection: Connection, branch: LocalBranch) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({
    url: url!,
    wsProxy,
    pipelineConnect: true,
    webSocketConstructor: DatabaseWebSocket,
  });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  try {
    await work(connection, branch);
  } finally {
    await connection.close({ timeoutMs: 5_000 });
  }
}

Deno.test("a row of 64 MB arrives whole", () =>
  withConnection(async (connection) => {
    const size = 64 * 1024 * 1024;
    const { results } = await connection.flight([
      { text: "select repeat('x', $1::int) as wide", values: [size] },
    ]);
    const wide = results[0]!.rows[0]!["wide"] as string;
    assertEquals(wide.length, size);
    assertEquals(wide.replaceAll("x", ""), "");
  }));

Deno.test("a parameter of 16 MB arrives whole", () =>
  withConnection(async (connection) => {
    const value = "0123456789abcdef".repeat(1024 * 1024);
    const { results } = await connection.flight([
      {
        text: "select md5($1::text) as sent, md5(repeat($2::text, 1048576)) as meant",
        values: [value, "0123456789abcdef"],
      },
    ]);
    const { sent, meant } = results[0]!.rows[0]!;
    assertEquals(sent, meant);
  }));

Deno.test("a flight with 20,000 notices is answered", () =>
  withConnection(async (connection) => {
    const flood = "do $$ begin for i in 1..20000 loop raise notice 'notice %', i; end loop; end $$";
    const { results, status } = await connection.flight([
      { text: flood, values: [] },
      { text: "select 1 as one", values: [] },
    ]);
    assertEquals(results[1]?.rows, [{ one: 1 }]);
    assertEquals(status, "I");
  }));

Deno.test("notifications are ignored", () =>
  withConnection(async (connection) => {
    const { results } = await connection.flight([
      { text: "listen something", values: [] },
      { text: "notify something, 'said'", values: [] },
      { text: "select 1 as one", values: [] },
    ]);
    assertEquals(results.at(-1)?.rows, [{ one: 1 }]);
  }));

Deno.test("COPY from the client is refused, and the connection stays usable", () =>
  withConnection(async (connection, branch) => {
    // PostgreSQL refuses COPY FROM at once on a table with row-level security.
    await branch.asAdmin("create table unguarded (n integer)");
    await branch.asAdmin("grant all on unguarded to public");
    const { error } = await connection.flight([{ text: "copy unguarded from stdin", values: [] }]);
    assertStringIncludes(error?.message ?? "", "COPY FROM STDIN is not supported here");
    const { results } = await connection.flight([{ text: "select 1 as one", values: [] }]);
    assertEquals(results[0]?.rows, [{ one: 1 }]);
  }));

Deno.test("COPY to the client is refused, and the connection stays usable", () =>
  withConnection(async (connection) => {
    const { error } = await connection.flight([
      { text: "copy (select generate_series(1, 3)) to stdout", values: [] },
    ]);
    assertStringIncludes(error?.message ?? "", "COPY TO STDOUT");
    const { results } = await connection.flight([{ text: "select 1 as one", values: [] }]);
    assertEquals(results[0]?.rows, [{ one: 1 }]);
  }));

Deno.test("an empty statement has no rows and no command", () =>
  withConnection(async (connection) => {
    const { results } = await connection.flight([{ text: "", values: [] }]);
    assertEquals(results, [{ rows: [], columns: [], rowCount: 0, command: "" }]);
  }));
