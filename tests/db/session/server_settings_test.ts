/** What a role or database has set on the server changes neither values nor what a session has said. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Database,
  ServerError,
  type Session,
  SessionEndedError,
  type SessionOptions,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { localDatabase } from "../../support/local_database.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";

const database = await localDatabase();

/** Everything whose text depends on a setting, with an instant before and after the zones had whole minutes. */
const ALL = sql<Record<string, unknown>>`
      select '2024-02-01'::date as date, array['2024-02-01'::date] as dates,
        '2024-02-01 03:04:05'::timestamp as timestamp,
        '2024-02-01 03:04:05.678Z'::timestamptz as timestamptz,
        array['1850-01-01Z'::timestamptz, 'infinity', null] as timestamps,
        daterange('2024-02-01', '2024-02-03') as range,
        '1 year -2 days +03:04:05.6'::interval as interval, '-1 1:00'::interval::text as negative,
        0.1::float8 + 0.2::float8 as float8, 1::float4 / 3::float4 as float4,
        array[0.1::float8 + 0.2::float8] as floats, json_build_array(0.1::float8 + 0.2::float8) as json,
        to_jsonb(1.0::float8 / 3) as jsonb, 1 / 3::float8 || '' as text, 'ü€' as encoded,
        decode('005c41ff', 'hex') as bytea, ${[null, "a"]}::text[] as nulls,
        ${new Date("1850-01-01T00:00:00Z")}::timestamptz as sent, ${new Uint8Array([
  0,
  92,
])}::bytea as bytes`;

async function readAll(db: Database): Promise<Record<string, unknown>> {
  const [[row]] = await db.transaction((session) => session.commit([ALL]));
  return row!;
}

const EXPECTED = {
  date: "2024-02-01",
  dates: ["2024-02-01"],
  timestamp: "2024-02-01 03:04:05",
  timestamptz: new Date("2024-02-01T03:04:05.678Z"),
  timestamps: [new Date("1850-01-01T00:00:00Z"), Infinity, null],
  range: "[2024-02-01,2024-02-03)",
  interval: "1 year -2 days +03:04:05.6",
  negative: "-1 days +01:00:00",
  float8: 0.1 + 0.2,
  float4: 0.33333334,
  floats: [0.1 + 0.2],
  json: [0.1 + 0.2],
  jsonb: 1 / 3,
  text: "0.3333333333333333",
  encoded: "ü€",
  bytea: new Uint8Array([0, 0x5c, 0x41, 0xff]),
  nulls: [null, "a"],
  sent: new Date("1850-01-01T00:00:00Z"),
  bytes: new Uint8Array([0, 92]),
};

const SETTINGS: readonly (readonly [name: string, ...values: string[]])[] = [
  ["DateStyle", "SQL, DMY", "German", "Postgres, MDY", "ISO, DMY"],
  ["IntervalStyle", "iso_8601", "sql_standard", "postgres_verbose"],
  ["extra_float_digits", "0", "-15", "3"],
  // With minutes, with seconds before 1880, and with the largest offset that PostgreSQL takes.
  ["TimeZone", "Asia/Kolkata", "Europe/Dublin", "Africa/Monrovia", "<X>-167:59", "<X>+167:59"],
  ["array_nulls", "off"],
  ["bytea_output", "escape"],
  ["client_encoding", "latin1"],
  ["standard_conforming_strings", "off"],
];

/** `of` names the role or database. Lasts until the next call for it. */
async function set(branch: Branch, of: string, settings: readonly (readonly [string, string])[]) {
  const execute = (what: string) =>
    branch.asAdmin(`do $do$ begin execute format($f$${what}$f$, current_database()); end $do$`);
  await execute(`alter ${of} reset all`);
  for (const [name, value] of settings) await execute(`alter ${of} set ${name} = '${value}'`);
}

const ROLE = "role user_service in database %1$I";
const OWNERS = [ROLE, "database %1$I"];

for (const [name, ...values] of SETTINGS) {
  Deno.test(`${name} of a role or database does not change values`, async () => {
    await using branch = await database.connect();
    for (const of of OWNERS) {
      for (const value of values) {
        await set(branch, of, [[name, value]]);
        const db = branch.open();
        assertEquals(await readAll(db), EXPECTED, `${of}: ${value}`);
        assertEquals(await db.run(ALL), [EXPECTED], `${of}: ${value}, outside a transaction`);
      }
      await set(branch, of, []);
    }
  });
}

Deno.test("an instant is the same Date in every time zone that the server knows, before and after 1900", async () => {
  await using branch = await database.connect();
  const [, rows] = await branch.open().session({ readOnly: true }).commit([
    sql`set local statement_timeout = 0`,
    // Each row is written in the zone that its own column has set.
    sql<{ zone: string; at: Date; ms: number }>`
      select set_config('TimeZone', zone, true) as zone, at, (extract(epoch from at) * 1000)::float8 as ms
      from (select name as zone from pg_timezone_names
        union all values ('<X>-167:59'), ('<X>+167:59'), ('<X>-00:01')) as zones,
      unnest(array['1582-10-04 12:00Z', '1850-06-01Z', '1879-12-31 23:59:59Z', '1915-03-01Z', '1972-01-01Z',
        '2024-07-01 12:34:56.789Z', '4713-01-01 BC', '9999-12-31 23:59:59Z']::timestamptz[]) as at`,
  ]);
  assert(rows.length > 8 * 300, `${rows.length} rows`);
  const wrong = rows.filter(({ at, ms }) => !(at instanceof Date && at.getTime() === ms));
  assertEquals(wrong, []);
});

Deno.test("readOnly: false writes whatever the role has set, and without readOnly the role decides", async () => {
  await using branch = await database.connect();
  const write = sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid() || '@example.com', 'Ann')`;
  const show = sql<{ mode: string }>`select current_setting('transaction_read_only') as mode`;
  const mode = async (db: Database, options: SessionOptions) =>
    (await db.session(options).commit([show]))[0][0]!.mode;
  await set(branch, ROLE, [["default_transaction_read_only", "on"]]);
  const readers = branch.open();
  await readers.session({ readOnly: false }).commit([write]);
  const error = await assertRejects(() => readers.session().commit([write]), ServerError);
  assertEquals(error.sqlState, "25006");
  assertEquals(
    [await mode(readers, {}), await mode(readers, { readOnly: false })],
    ["on", "off"],
  );
  await set(branch, ROLE, []);
  const db = branch.open();
  await db.session().commit([write]);
  assertEquals([await mode(db, {}), await mode(db, { readOnly: true })], ["off", "on"]);
});

const insert = (name: string) =>
  sql`insert into users (id, email, name) values (gen_random_uuid(), gen_random_uuid() || '@example.com', ${name})`;

async function countOf(db: Database, name: string): Promise<bigint> {
  const [[row]] = await db.session().commit([
    sql<{ count: bigint }>`select count(*) from users where name = ${name}`,
  ]);
  return row!.count;
}

/** Statements that roll the transaction back by their own text. */
const ENDING: readonly (readonly [what: string, run: (session: Session) => Promise<unknown>])[] = [
  ["rollback behind a write", (session) => session.commit([insert("Lost"), sql`rollback`])],
  ["abort in a flight of its own", async (session) => {
    await session.query(insert("Lost"));
    await session.commit([sql`/* a comment */ Abort work`]);
  }],
  ["rollback and begin", async (session) => {
    await session.query(insert("Lost"));
    await session.batch([sql`rollback`, sql`begin`]);
    await session.commit();
  }],
  ["rollback and start transaction", async (session) => {
    await session.query(insert("Lost"));
    await session.commit([sql`rollback and no chain`, sql`start transaction`]);
  }],
];

for (const level of ["notice", "error"]) {
  for (const [what, run] of ENDING) {
    Deno.test(`${what} is not told as committed where client_min_messages is ${level}`, async () => {
      await using branch = await database.connect();
      await set(branch, ROLE, [["client_min_messages", level]]);
      const db = branch.open();
      const session = db.session();
      let hooks = 0;
      session.afterCommit(() => void hooks++);
      await assertRejects(() => run(session), SessionEndedError);
      assertEquals([await countOf(db, "Lost"), hooks], [0n, 0]);
      await set(branch, ROLE, []);
    });
  }

  Deno.test(`rollback to a savepoint goes on where client_min_messages is ${level}`, async () => {
    await using branch = await database.connect();
    await set(branch, ROLE, [["client_min_messages", level]]);
    const db = branch.open();
    const name = `Kept ${level}`;
    const rollbacks = [
      "rollback to s",
      "ROLLBACK/**/WORK\nTO SAVEPOINT s",
      "rollback transaction to s",
    ];
    await db.transaction(async (session) => {
      await session.batch([insert(name), sql`savepoint s`]);
      for (const text of rollbacks) await session.batch([insert(name), trustedSql(text)]);
      await session.commit([insert(name), sql`rollback to s`]);
    });
    assertEquals(await countOf(db, name), 1n);
    await set(branch, ROLE, []);
  });
}

Deno.test("the order of day and month that a role has set is kept for texts that are sent", async () => {
  await using branch = await database.connect();
  await set(branch, ROLE, [["DateStyle", "SQL, DMY"]]);
  const [[row]] = await branch.open().session().commit([sql`select ${"01/02/2024"}::date as date`]);
  await set(branch, ROLE, []);
  assertEquals(row, { date: "2024-02-01" });
});

Deno.test("a session's locals have the last word on how values come out", async () => {
  await using branch = await database.connect();
  const session = branch.open().session({ locals: { IntervalStyle: "iso_8601" } });
  assertEquals(await session.commit([sql`select '1 day'::interval as day`]), [[{ day: "P1D" }]]);
});

pgBouncerTest("what a role has set does not change values", async (branch) => {
  // Before the first connection, so that all connections of the pooler have these settings.
  const all = SETTINGS.map(([name, value]) => [name, value!] as const);
  await set(branch, ROLE, all);
  const db = branch.open();
  for (let round = 0; round < 3; round++) assertEquals(await readAll(db), EXPECTED);
});
