/** Extreme values, sent to a server and read back. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { arrayOf, type Database, ServerError, Sql, sql, trustedSql } from "../../../src/db/mod.ts";
import { parserOf } from "../../../src/db/driver/result_types.ts";
import { branchDatabase } from "../../support/branch_database.ts";

const database = await branchDatabase();

/** Reads the value of an SQL expression. */
async function read(db: Database, expression: string): Promise<unknown> {
  const [[row]] = await db.session({ readOnly: true }).commit([
    trustedSql<{ value: unknown }>(`select ${expression} as value`),
  ]);
  return row!.value;
}

/** Sends a value as a parameter of this type, and reads it back. */
async function roundTrip(db: Database, type: string, value: unknown): Promise<unknown> {
  const [[row]] = await db.session({ readOnly: true }).commit([
    sql<{ value: unknown }>`select ${value}::${trustedSql(type)} as value`,
  ]);
  return row!.value;
}

/** Values that come back as they were sent. */
const SAME: readonly (readonly [type: string, ...values: unknown[]])[] = [
  ["bool", true, false, null],
  ["int2", -32_768, 32_767],
  ["int4", -(2 ** 31), 2 ** 31 - 1],
  ["int8", -(2n ** 63n), 2n ** 63n - 1n, 0n],
  ["float8", 5e-324, Number.MAX_VALUE, 0.1, -0, NaN, Infinity, -Infinity],
  ["float4", 0.5, -Infinity],
  ["numeric", `${"9".repeat(131_072)}.${"9".repeat(16_383)}`, "-0.10", "NaN", "Infinity"],
  ["text", "", 'it\'s \\ "quoted"', "e\u0301 \u{1f600} \u0001\uffff", "NULL", " \n\t"],
  ["date", "4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "infinity", "-infinity"],
  ["time", "00:00:00", "23:59:59.999999", "24:00:00"],
  ["timetz", "12:00:00.000001+15:59", "12:00:00-15:59"],
  ["timestamp", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"],
  [
    "timestamptz",
    new Date("2024-02-29T12:34:56.789Z"),
    new Date(0),
    new Date(-1),
    new Date("0099-01-01T00:00:00Z"),
    new Date("0000-01-01T00:00:00.001Z"),
    new Date("-004712-01-01T00:00:00Z"),
    new Date("+010000-01-01T00:00:00Z"),
    new Date(8.64e15),
    Infinity,
    -Infinity,
  ],
  ["interval", "1 year 2 mons -3 days +04:05:06.000007", "-178000000 years"],
  ["bytea", new Uint8Array(), Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ["uuid", "018f4d5e-0000-7000-8000-ffffffffffff"],
  ["jsonb", { a: [1, null, { b: "\u{1f600}" }] }, {}],
  ["json", { a: 1 }],
  ["int8[]", [2n ** 63n - 1n, null], []],
  ["numeric[]", ["0.1", "12345678901234567890.12345678901234567890", "NaN"]],
  ["float8[]", [0.1, null, -0, NaN, Infinity]],
  ["bool[]", [true, false, null]],
  [
    "text[]",
    ["", "a", null, "NULL", 'a"b', "a\\b", "a,b", "{a}", " a ", "\u{1f600}"],
    [["a", "b"], ["c", null]],
    [[["a"]], [["b"]]],
  ],
  ["bytea[]", [new Uint8Array([0, 255]), null]],
  ["timestamptz[]", [new Date(0), Infinity, null]],
  ["date[]", ["2024-02-29", "infinity"]],
  ["jsonb[]", [{ a: 'say "b\\' }, null]],
];

for (const [type, ...values] of SAME) {
  Deno.test(`${type} comes back as it was sent`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    for (const value of values) assertEquals(await roundTrip(db, type, value), value, type);
  });
}

/** Values whose JavaScript form differs from what was sent. */
const READ: readonly (readonly [expression: string, value: unknown])[] = [
  ["count(*)", 1n],
  ["'2024-01-02 03:04:05.678901+05:30'::timestamptz", new Date("2024-01-01T21:34:05.678Z")],
  // Beyond what a Date can hold.
  ["'294276-12-31 23:59:59.999999Z'::timestamptz", "294276-12-31 23:59:59.999999+00"],
  ["'[5:6]={1,2}'::int[]", [1, 2]],
  ["'[\"text\", 1e400]'::json", ["text", Infinity]],
  ["'null'::jsonb", null],
  ["array[]::text[]", []],
  ["null::int[]", null],
  ["'(1,2)'::point", "(1,2)"],
  ["int4range(1, 5)", "[1,5)"],
];

Deno.test("a value without an exact JavaScript form is read as text or as documented", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  for (const [expression, value] of READ) {
    assertEquals(await read(db, expression), value, expression);
  }
});

Deno.test("an offset that has seconds is read to the second", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  // Before 1892 Dublin's clocks had their own mean time.
  const [, [row]] = await db.session().commit([
    sql`set local timezone = 'Europe/Dublin'`,
    sql<{ value: Date }>`select '1850-01-01 00:00:00Z'::timestamptz as value`,
  ]);
  assertEquals(row?.value, new Date("1850-01-01T00:00:00Z"));
});

Deno.test("a DateStyle that is not ISO and the escape format of bytea are read without loss", async () => {
  await using branch = await database.connect();
  const [, , [row]] = await branch.open().session().commit([
    sql`set local datestyle = 'SQL, DMY'`,
    sql`set local bytea_output = 'escape'`,
    sql<{ at: unknown; bytes: Uint8Array }>`
      select '2024-01-02 00:00Z'::timestamptz as at, '\\x005c41ff'::bytea as bytes`,
  ]);
  assertEquals(typeof row?.at, "string");
  assertEquals(row?.bytes, new Uint8Array([0, 0x5c, 0x41, 0xff]));
});

Deno.test("the parsers of a type and of its arrays have the ids that the server has", async () => {
  await using branch = await database.connect();
  const [types] = await branch.open().session({ readOnly: true }).commit([
    sql<{ oid: number; typarray: number; typname: string }>`
      select oid, typarray, typname from pg_type where typarray <> 0 and oid < 10000
        and typname in ('bool', 'bytea', 'char', 'name', 'int8', 'int2', 'int4', 'text', 'oid', 'json', 'cidr',
          'float4', 'float8', 'inet', 'bpchar', 'varchar', 'date', 'time', 'timestamp', 'timestamptz',
          'interval', 'timetz', 'numeric', 'uuid', 'jsonb')`,
  ]);
  assertEquals(types.length, 25);
  for (const { typarray, typname } of types) assertEquals(parserOf(typarray)("{}"), [], typname);
});

Deno.test("bytes of any view are sent as bytes", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const { buffer } = new Uint8Array([1, 2, 3, 4]);
  for (
    const [value, bytes] of [
      [buffer, [1, 2, 3, 4]],
      [new DataView(buffer, 1, 2), [2, 3]],
      [new Uint16Array(buffer, 2, 1), [3, 4]],
    ] as const
  ) {
    assertEquals(await roundTrip(db, "bytea", value), new Uint8Array(bytes));
  }
});

Deno.test("a session uses its own parsers, and no other session does", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const select = sql<{ one: unknown; many: unknown; big: unknown }>`
    select 1.5::numeric as one, array[1.5, null]::numeric[] as many, 7::int8 as big`;
  const parsers = { 1700: Number, 1231: arrayOf(Number), 20: Number };
  const [[own]] = await db.session({ parsers }).commit([select]);
  assertEquals(own, { one: 1.5, many: [1.5, null], big: 7 });
  const [[usual]] = await db.session().commit([select]);
  assertEquals(usual, { one: "1.5", many: ["1.5", null], big: 7n });
});

Deno.test("a parser that throws fails its statement, and neither transaction nor connection", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const failure = new Error("from the parser");
  await using session = db.session({
    parsers: {
      1700: () => {
        throw failure;
      },
    },
  });
  const error = await assertRejects(
    () => session.query(sql`select 1 as good, 1.5 as "bad one"`),
    TypeError,
    'the column "bad one"',
  );
  assertEquals(error.cause, failure);
  assertEquals(await session.query(sql`select 2 as two`), [{ two: 2 }]);
  await session.commit();
  assertEquals(db.stats().idle, 1);
});

const UNSENDABLE: readonly (readonly [what: string, value: unknown, reason: string])[] = [
  ["NUL", "a\0b", "NUL"],
  ["NUL in an array", ["a\0b"], "NUL"],
  ["a lone surrogate", "\ud800", "lone surrogate"],
  ["undefined", undefined, "undefined"],
  ["a function", () => {}, "function"],
  ["a symbol", Symbol("s"), "symbol"],
  ["an invalid Date", new Date(NaN), "invalid Date"],
  ["JSON with a bigint", { a: 1n }, "current type is bigint; pass Number(value)"],
];

for (const [what, value, reason] of UNSENDABLE) {
  Deno.test(`${what} is refused before anything is sent, and the session goes on`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    await using session = db.session();
    for (const _ of ["as its first statement", "as a later one"]) {
      await assertRejects(() => session.query(sql`select ${value}::text`), TypeError, reason);
      assertEquals(await session.query(sql`select 1 as one`), [{ one: 1 }]);
    }
    await session.commit();
    assertEquals([db.stats().idle, db.stats().counters.connected], [1, 1]);
  });
}

Deno.test("65,535 parameters are sent, and one more is refused with a way out", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  await using session = db.session();
  const greatest = (count: number) => {
    const parts = Array.from({ length: count - 1 }, () => "::int8, ");
    return new Sql<{ count: number }>(
      ["select cardinality(array[", ...parts, "::int8]) as count"],
      Array.from({ length: count }, () => 1),
    );
  };
  assertEquals(await session.query(greatest(65_535)), [{ count: 65_535 }]);
  await assertRejects(() => session.query(greatest(65_536)), TypeError, "unnest()");
  assertEquals(await session.query(greatest(1)), [{ count: 1 }]);
});

Deno.test("a value that the server refuses fails its savepoint with a ServerError, and the session goes on", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  for (const value of [new Date(-8.64e15), "later", 2 ** 53]) {
    await assertRejects(
      () => session.savepoint((inner) => inner.query(sql`select ${value}::timestamptz`)),
      ServerError,
    );
  }
  await session.commit();
});

Deno.test("an array that has no end is refused", () => {
  for (const text of ["", "{", "{1", '{"a', "{{1}", "{1,"]) {
    assertThrows(() => arrayOf(String)(text), TypeError, "no end", text);
  }
});
