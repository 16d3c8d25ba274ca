/** Options that cannot be used are refused when the database is opened, not by the first unit of work that needs them. */
import {
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import {
  DATABASE_DEFAULTS,
  openDatabase,
  type OpenDatabaseOptions,
} from "../../src/library/deno/mod.ts";
import { databases } from "../../src/library/workers/mod.ts";

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
    "'acquireTimeoutMs' must be above 0 and finite: current value is 0",
  ],
  [
    { pool: { acquireTimeoutMs: Infinity } },
    "'acquireTimeoutMs' must be above 0 and finite: current value is Infinity",
  ],
  [{ connectTimeoutMs: -5 }, "'connectTimeoutMs' must be above 0 and finite: current value is -5"],
  [
    { connectTimeoutMs: NaN },
    "'connectTimeoutMs' must be above 0 and finite: current value is NaN",
  ],
  [
    { pool: { recycleMs: -1 } },
    "'recycleMs' must be a number from 0: current value is -1",
  ],
  [
    { pool: { idleTimeoutMs: 0 } },
    "'idleTimeoutMs' must be above 0, or Infinity for never: current value is 0",
  ],
  [
    { pool: { maxWaiters: Infinity } },
    "'maxWaiters' must be a whole number from 0: current value is Infinity",
  ],
  [{ pool: { shedTargetMs: -1 } }, "'shedTargetMs' must be from 0 and finite: current value is -1"],
  [
    { pool: { leakThresholdMs: NaN } },
    "'leakThresholdMs' must be from 0 and finite: current value is NaN",
  ],
  [
    { pool: { readDepth: 65 } },
    `'readDepth' must be a whole number from 1 to 64, or "auto": current value is 65`,
  ],
  [{ retryAttempts: 0 }, "'retryAttempts' must be a whole number from 1: current value is 0"],
  [{ retryAttempts: 2.5 }, "'retryAttempts' must be a whole number from 1: current value is 2.5"],
  [
    { session: { statementTimeoutMs: -1 } },
    "'statementTimeoutMs' must be a whole number from 0, for no limit, to 2147483647: current value is -1",
  ],
  [{ session: { lockTimeoutMs: 0.4 } }, "'lockTimeoutMs' must be a whole number from 0"],
  [
    { session: { transactionTimeoutMs: Infinity } },
    "'transactionTimeoutMs' must be a whole number from 0",
  ],
  [
    { session: { idleTransactionTimeoutMs: "4s" } },
    `'idleTransactionTimeoutMs' must be a whole number from 0`,
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
    "'pipelineConnect' cannot be used, it must be true or false: current type is string",
  ],
  [
    { wsProxy: "http://127.0.0.1:1/secret" },
    "'wsProxy' cannot be used, it must be a ws:// or wss:// URL without user, query and fragment: current value is hidden",
  ],
  [{ wsProxy: "" }, "'wsProxy' cannot be used, it must be a ws:// or wss:// URL"],
  [
    { transport: "websocket" },
    "its host is not Neon's and needs a WebSocket relay: current value is hidden; set wsProxy",
  ],
  [
    { session: { isolation: "snapshot" } },
    `its isolation level is unknown: current value is "snapshot"`,
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

Deno.test("a field that is undefined has its default", async () => {
  const options = {
    pool: { size: undefined, maxOverflow: 3, leakThresholdMs: undefined },
    session: { isolation: undefined, lockTimeoutMs: undefined },
    retryAttempts: undefined,
    transport: undefined,
  };
  await using db = openDatabase({ url, ...options } as unknown as OpenDatabaseOptions);
  assertEquals(db.stats().limit, DATABASE_DEFAULTS.pool.size + 3);
});

Deno.test("databases() refuses such options with the first request, before it connects", () => {
  const ctx = { waitUntil() {} };
  const shared = databases({ url, pool: { maxWaiters: Infinity } });
  assertThrows(() => shared.forRequest(ctx), RangeError, "'maxWaiters' must be a whole number");
});

Deno.test("a session refuses a timeout that the server would round to no limit, before it leases", async () => {
  await using db = openDatabase({ url });
  for (const statementTimeoutMs of [0.4, -1, NaN, 2 ** 31]) {
    await using session = db.session({ statementTimeoutMs });
    await assertRejects(
      () => session.query(sql`select 1`),
      RangeError,
      `Cannot begin the transaction as 'statementTimeoutMs' must be a whole number from 0, for no limit, to 2147483647: ` +
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
      [{ timeoutMs: NaN }, "'timeoutMs' must be a number from 0: current value is NaN"],
    ] as const
  ) {
    await assertRejects(
      () => db.transaction(() => Promise.resolve(), options),
      RangeError,
      `Cannot retry as ${message}`,
    );
  }
});
