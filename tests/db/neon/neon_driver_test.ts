import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { ConnectError, ConnectionLostError, ServerError } from "../../../src/db/errors.ts";
import { NeonDriver } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import { startBrokenEndpoints } from "../../support/broken_endpoints.ts";
import { localDatabase } from "../../support/local_database.ts";
import { ownRelay } from "../../support/own_relay.ts";
import { SocketTap } from "../../support/socket_tap.ts";
import { driverCases } from "../driver/driver_cases.ts";
import { driverPortalCases } from "../driver/driver_portal_cases.ts";
import { relayFaultCases } from "../driver/relay_fault_cases.ts";

const database = await localDatabase();

for (
  const [kind, role, webSocketConstructor] of [
    ["neon driver, pipelined password", "user_service", undefined],
    ["neon driver, SCRAM", "user_service_scram", undefined],
    ["neon driver on ws, pipelined password", "user_service", DatabaseWebSocket],
    ["neon driver on ws, SCRAM", "user_service_scram", DatabaseWebSocket],
  ] as const
) {
  for (const { name, run } of [...driverCases, ...driverPortalCases]) {
    Deno.test(`${kind}: ${name}`, async () => {
      await using branch = await database.connect();
      const env = branch.envOf(role);
      await using relay = await ownRelay(env);
      const settings = parseSettings({ ...env, DATABASE_WS_PROXY: relay.url });
      const tap = new SocketTap(webSocketConstructor);
      await run({
        driver: new NeonDriver({
          ...settings.database,
          applicationName: "driver test",
          webSocketConstructor: tap.webSocketConstructor,
        }),
        closeSocket: () => tap.close(),
        async cut({ processId }) {
          await branch.asAdmin(`select pg_terminate_backend(${processId})`);
        },
        hangUp: () => relay.close(),
      });
    });
  }

  for (const { name, run } of relayFaultCases) {
    Deno.test(`${kind}: ${name}`, async () => {
      await using endpoints = await startBrokenEndpoints();
      await run({
        driverTo: (fault) =>
          new NeonDriver({
            url: "postgresql://user:password@127.0.0.1/database",
            wsProxy: fault === "absent" ? "ws://127.0.0.1:1/v1" : `${endpoints.url}/${fault}`,
            pipelineConnect: role === "user_service",
            webSocketConstructor,
          }),
      });
    });
  }
}

Deno.test("startup message, password and first flight are sent in one message", async () => {
  const sent: number[] = [];
  await using branch = await database.connect({
    observe: { message: (id, direction) => void (direction === "toServer" && sent.push(id)) },
  });
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  assertEquals(connection.state, "opening");
  await connection.flight([{ text: "begin", values: [] }, { text: "select 1", values: [] }]);
  assertEquals(sent.length, 1);
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("a pipelined login without a flight still logs in", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  await connection.ready;
  assertEquals(connection.status, "I");
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("a wrong password is a ConnectError with the server's SQLSTATE, and without the password", async () => {
  await using branch = await database.connect();
  for (const role of ["user_service", "user_service_scram"] as const) {
    const env = branch.envOf(role);
    const url = new URL(env["DATABASE_URL"]!);
    url.password = "not-the-password";
    const driver = new NeonDriver({
      url: url.href,
      wsProxy: env["DATABASE_WS_PROXY"],
      pipelineConnect: role === "user_service",
    });
    const error = await assertRejects(async () => {
      const connection = await driver.connect({ timeoutMs: 5_000 });
      await connection.flight([{ text: "select 1", values: [] }]);
    }, ConnectError);
    assertInstanceOf(error.cause, ServerError);
    assertEquals(error.cause.sqlState, "28P01");
    assert(!Deno.inspect(error).includes("not-the-password"));
  }
});

Deno.test("the error of a SCRAM server that gets a pipelined password names the setting to change", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.envOf("user_service_scram");
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  const error = await assertRejects(
    () => connection.flight([{ text: "select 1", values: [] }]),
    ConnectError,
  );
  assertStringIncludes(error.message, "DATABASE_PIPELINE_CONNECT=off");
  await connection.closed;
});

Deno.test("a cached statement runs each time, and its rows are texts by position", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  const routine = {
    text: "select set_config('app.user', $1, false)",
    values: ["Ann"],
    isStatic: true,
  } as const;
  const read = { text: "select current_setting('app.user') as user", values: [] };
  const reset = { text: "select set_config('app.user', '', false)", values: [] };
  for (let turn = 0; turn < 2; turn++) {
    const { results } = await connection.flight([routine, read, reset]);
    assertEquals(results.slice(0, 2).map(({ rows }) => rows), [[{ 0: "Ann" }], [{ user: "Ann" }]]);
  }
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("values are the same after a round trip to the server", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  const cases: [type: string, value: unknown, expected?: unknown][] = [
    ["text", 'it\'s "quoted" \\ \n 🐘'],
    ["text", ""],
    ["text", "\ufeffa byte order mark"],
    ["text", null],
    ["int4", -2147483648],
    ["int8", 9223372036854775807n],
    ["numeric", "12345678901234567890.123456789"],
    ["float8", 0.1],
    ["float8", NaN],
    ["bool", true],
    ["json", { a: [1, null, "x"] }],
    ["jsonb", { a: { b: "\\" } }],
    ["timestamptz", new Date("2026-11-23T12:34:56.789Z")],
    ["timestamptz", new Date("0099-01-02T03:04:05.678Z")],
    ["date", "2026-11-23"],
    ["timestamp", "2026-11-23 12:34:56.123456"],
    ["text[]", ["a,b", 'c"d', "e\\f", "", "NULL", null]],
    ["int4[]", [[1, 2], [3, 4]]],
    ["uuid", "01a208ac-c1a6-7580-a159-5049cafda885"],
  ];
  for (const [type, value] of cases) {
    const { results, error } = await connection.flight([
      { text: `select $1::${type} as value`, values: [value] },
    ]);
    assertEquals(error, undefined);
    assertEquals(results[0]?.rows, [{ value }], type);
  }
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const { results } = await connection.flight([
    { text: "select $1::bytea as value", values: [bytes] },
  ]);
  assertEquals(new Uint8Array(results[0]!.rows[0]!["value"] as Uint8Array), bytes);
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("texts of any length are sent and read, beside others, with and without wide characters", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  // Around the bounds of one byte of a length, and of the buffers and shortcuts for short and long texts.
  const lengths = [
    0,
    1,
    62,
    63,
    64,
    65,
    127,
    128,
    194,
    195,
    255,
    256,
    4_000,
    4_096,
    16_384,
    16_385,
  ];
  for (const length of [...lengths, 50_089, 70_000, 200_000]) {
    for (const character of ["x", "é", "€", "🐘", "\ufeff"]) {
      const text = character.repeat(length);
      const { results, error } = await connection.flight([
        {
          text: "select $1::text as text, $2::text as mixed, $3::int as n",
          values: [text, `x${text}é`, length],
        },
      ]);
      assertEquals(error, undefined);
      assert(results[0]!.rows[0]!["text"] === text, `${length} of ${character}`);
      assert(results[0]!.rows[0]!["mixed"] === `x${text}é`, `${length} of ${character}, mixed`);
      assertEquals(results[0]!.rows[0]!["n"], length);
    }
  }
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("a million rows are read in one pass", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  const connection = await driver.connect({ timeoutMs: 5_000 });
  const { results } = await connection.flight([
    { text: "select n, 'row ' || n as text from generate_series(1, 1000000) n", values: [] },
  ]);
  const { rows, rowCount } = results[0]!;
  assertEquals([rows.length, rowCount], [1_000_000, 1_000_000]);
  assert(rows.every(({ n, text }, index) => n === index + 1 && text === `row ${index + 1}`));
  await connection.close({ timeoutMs: 5_000 });
});

Deno.test("a COPY FROM STDIN behind statements is refused, and in front of others it ends the connection", async () => {
  await using branch = await database.connect();
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true });
  // PostgreSQL refuses COPY FROM at once on a table with row-level security.
  await branch.asAdmin("create table unguarded (n integer)");
  await branch.asAdmin("grant all on unguarded to public");
  const copy = { text: "copy unguarded from stdin", values: [] };
  const one = { text: "select 1 as one", values: [] };
  const connection = await driver.connect({ timeoutMs: 5_000 });
  for (const flight of [[copy], [one, copy]]) {
    const { error } = await connection.flight(flight);
    assertInstanceOf(error, ServerError);
    for (let turn = 0; turn < 2; turn++) {
      const { results, status } = await connection.flight([one]);
      assertEquals([results.map(({ rows }) => rows), status], [[[{ one: 1 }]], "I"]);
    }
  }
  await assertRejects(() => connection.flight([copy, one]), ConnectionLostError);
  await connection.closed;
});
