/** Options that cannot be used are refused when the database is opened, not by the first unit of work that needs them. */
import {
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ConnectError, sql } from "../../src/db/mod.ts";
import {
  DATABASE_DEFAULTS,
  openDatabase,
  type OpenDatabaseOptions,
} from "../../src/library/deno/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { databases } from "../../src/library/workers/mod.ts";
import { configOf } from "./config_of.ts";

const database = await localDatabase();

const url = "postgresql://app:secret@db.example/app";

/** Options as a caller without types can give them. */
function refusal(options: Record<string, unknown>): Error {
  return assertThrows(() => openDatabase({ url, ...options } as OpenDatabaseOptions), Error);
}

const NUMBERS: [options: Record<string, unknown>, message: string][] = [
  [
    { pool: { size: 0 } },
    "Cannot make a pool as 'size' must be a whole number from 1: current value is 0",
  ],
  [{ pool: { size: 1.5 } }, "'size' must be a whole number from 1: current value is 1.5"],
  [{ pool: { size: "20" } }, `'size' must be a whole number from 1: current value is "20"`],
  [
    { pool: { maxOverflow: -1 } },
    "'maxOverflow' must be a whole number from 0: current value is -1",
  ],
  [
    { pool: { acquireTimeoutMs: 0 } },
    "'acquireTimeoutMs' must be above 0 and at most 2147483647: current value is 0",
  ],
  [
    { pool: { acquireTimeoutMs: Infinity } },
    "'acquireTimeoutMs' must be above 0 and at most 2147483647: current value is Infinity",
  ],
  [
    { connectTimeoutMs: -5 },
    "'connectTimeoutMs' must be above 0 and at most 2147483647: current value is -5",
  ],
  [
    { connectTimeoutMs: NaN },
    "'connectTimeoutMs' must be above 0 and at most 2147483647: current value is NaN",
  ],
  [
    { pool: { recycleMs: -1 } },
    "'recycleMs' must be a number from 0, where 0 is after each use, and Infinity never: current value is -1",
  ],
  [
    { pool: { idleTimeoutMs: 0 } },
    "'idleTimeoutMs' must be above 0, where Infinity is never: current value is 0",
  ],
  [
    { pool: { maxWaiters: Infinity } },
    "'maxWaiters' must be a whole number from 0: current value is Infinity",
  ],
  [
    { pool: { shedTargetMs: -1 } },
    "'shedTargetMs' must be a finite number from 0, where 0 is never: current value is -1",
  ],
  [
    { pool: { leakThresholdMs: NaN } },
    "'leakThresholdMs' must be a finite number from 0, where 0 is never: current value is NaN",
  ],
  [
    { pool: { readDepth: 65 } },
    `'readDepth' must be a whole number from 1 to 64, or "auto": current value is 65`,
  ],
  [
    { connectTimeoutMs: 2 ** 31 },
    "'connectTimeoutMs' must be above 0 and at most 2147483647: current value is 2147483648",
  ],
  [
    { replicas: { urls: [], maxStalenessMs: "5000" } },
    `'maxStalenessMs' must be above 0 and at most 2147483647: current value is "5000"`,
  ],
  [{ retryAttempts: 0 }, "'retryAttempts' must be a whole number from 1: current value is 0"],
  [{ retryAttempts: 2.5 }, "'retryAttempts' must be a whole number from 1: current value is 2.5"],
  [
    { session: { statementTimeoutMs: -1 } },
    "'statementTimeoutMs' must be a number from 0, for no limit, to 2147483647: current value is -1",
  ],
  [{ session: { lockTimeoutMs: NaN } }, "'lockTimeoutMs' must be a number from 0"],
  [
    { session: { transactionTimeoutMs: Infinity } },
    "'transactionTimeoutMs' must be a number from 0",
  ],
  [
    { session: { idleTransactionTimeoutMs: "4s" } },
    `'idleTransactionTimeoutMs' must be a number from 0`,
  ],
];

const WORDS: [options: Record<string, unknown>, message: string][] = [
  [
    { transport: "ws" },
    `'transport' cannot be used, it must be one of "auto", "websocket", "tcp": current value is "ws"`,
  ],
  [
    { http: true },
    `'http' cannot be used, it must be one of "auto", "on", "off": current value is true`,
  ],
  [
    { prepare: "never" },
    `'prepare' cannot be used, it must be one of "auto", "on", "off": current value is "never"`,
  ],
  [
    { pipelineConnect: "off" },
    `'pipelineConnect' cannot be used, it must be true or false: current value is "off"`,
  ],
  [
    { wsProxy: "http://127.0.0.1:1/secret" },
    "'wsProxy' cannot be used, it must be a ws:// or wss:// URL without user, query and fragment: current value is hidden",
  ],
  [
    { wsProxy: "" },
    `current value is ""; write it as ws://host:port/path, or leave it out for none`,
  ],
  [
    { transport: "websocket" },
    "its host is not Neon's and needs a WebSocket relay: current value is hidden; set wsProxy",
  ],
  [
    { session: { isolation: "snapshot" } },
    `Cannot open the database as the isolation level is unknown: current value is "snapshot"`,
  ],
  [
    { session: { readOnly: "false" } },
    `Cannot open the database as 'readOnly' must be true or false: current value is "false"`,
  ],
  [{ session: { deferrable: "off" } }, "'deferrable' must be true or false"],
  [
    { pool: { max: 10 } },
    "Cannot open the database as 'pool.max' cannot be used, there is no such option; use one of size, maxOverflow, ",
  ],
  [{ session: { statementTimeout: 5_000 } }, "one of isolation, deferrable, statementTimeoutMs, "],
  [{ session: { readonly: true } }, "'session.readonly' cannot be used, there is no such option"],
  [{ poolSize: 10 }, "use one of url, wsProxy, pipelineConnect, parsers, transport, "],
  [{ pool: 10 }, "'pool' cannot be used, it must be an object with options: current value is 10"],
  [
    { transport: 5n },
    '\'transport\' cannot be used, it must be one of "auto", "websocket", "tcp": current value is of type bigint',
  ],
  [{ session: { locals: { "app.user": "a\0b" } } }, "NUL"],
];

for (const [refusals, kind] of [[NUMBERS, RangeError], [WORDS, TypeError]] as const) {
  for (const [options, message] of refusals) {
    Deno.test(`openDatabase() refuses ${Deno.inspect(options)}`, () => {
      const error = refusal(options);
      assertInstanceOf(error, kind);
      assertStringIncludes(error.message, message);
      assertFalse(error.message.includes("secret"));
    });
  }
}

Deno.test("a timeout of a part of a millisecond is rounded up: to the server 0.4 would be no limit", async () => {
  await using branch = await database.connect();
  await using db = openDatabase(configOf(branch));
  await using session = db.session({ statementTimeoutMs: 1500.7, lockTimeoutMs: 0.4 });
  const [row] = await session.query(sql`
    select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock`);
  assertEquals(row, { statement: "1501ms", lock: "1ms" });
  const timeouts = { statementTimeoutMs: 1500.7 };
  await using other = openDatabase({ ...configOf(branch), session: timeouts });
  await using connection = await other.connect();
  const statements = [`begin`, `show statement_timeout`].map((text) => ({ text, values: [] }));
  const results = await connection.run(statements);
  assertEquals(results.at(-1)!.rows, [{ statement_timeout: "1501ms" }]);
});

Deno.test("a unit whose time was over before it began has one attempt", async () => {
  await using branch = await database.connect();
  await using db = openDatabase(configOf(branch));
  let attempts = 0;
  const work = () => {
    attempts++;
    return Promise.reject(new ConnectError("Cannot connect"));
  };
  await assertRejects(() => db.transaction(work, { timeoutMs: -5 }), ConnectError);
  assertEquals(attempts, 1);
});

Deno.test("a field that is undefined has its default", async () => {
  const options = {
    pool: { size: undefined, maxOverflow: 3, leakThresholdMs: undefined },
    session: { isolation: undefined, lockTimeoutMs: undefined },
    retryAttempts: undefined,
    transport: undefined,
  };
  await using db = openDatabase({ url, ...options });
  assertEquals(db.stats().limit, DATABASE_DEFAULTS.pool.size + 3);
  await using other = openDatabase({ url, pool: null, session: null } as never);
  assertEquals(other.stats().limit, 50);
});

Deno.test("databases() refuses such options with the first request, before it connects", () => {
  const ctx = { waitUntil() {} };
  const shared = databases({ url, pool: { maxWaiters: Infinity } });
  assertThrows(() => shared.forRequest(ctx), RangeError, "'maxWaiters' must be a whole number");
});

Deno.test("a session refuses a timeout that cannot be sent, before it leases", async () => {
  await using db = openDatabase({ url });
  for (const statementTimeoutMs of [-1, NaN, 2 ** 31]) {
    await using session = db.session({ statementTimeoutMs });
    await assertRejects(
      () => session.query(sql`select 1`),
      RangeError,
      `Cannot begin the transaction as 'statementTimeoutMs' must be a number from 0, for no limit, to 2147483647: ` +
        `current value is ${statementTimeoutMs}`,
    );
  }
  assertEquals(db.stats().opening, 0);
});

Deno.test("a unit of work refuses limits that would let it retry without one", async () => {
  await using db = openDatabase({ url });
  for (
    const [options, message] of [
      [{ attempts: 0 }, "'attempts' must be a whole number from 1: current value is 0"],
      [
        { attempts: Infinity },
        "'attempts' must be a whole number from 1: current value is Infinity",
      ],
      [{ timeoutMs: NaN }, "'timeoutMs' must be a number: current value is NaN"],
    ] as const
  ) {
    await assertRejects(
      () => db.transaction(() => Promise.resolve(), options),
      RangeError,
      `Cannot run the unit as ${message}`,
    );
  }
});
