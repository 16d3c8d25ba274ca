/** What a pool gives, compared with what node-postgres gives for the same query on the same server. */
import { assertEquals, assertRejects } from "@std/assert";
import type { PgQuery } from "../../../src/library/pg/mod.ts";
import { withPools } from "./pg_database.ts";

/** What a result is made of that a program sees. The order of the fields does not count. */
function seen(result: unknown): unknown {
  if (Array.isArray(result)) return result.map(seen);
  const { rows, rowCount, command, oid, fields } = result as Record<string, unknown>;
  return {
    rows: plain(rows),
    rowCount,
    command,
    oid,
    fields: (fields as { name: string; dataTypeID: number; format: string }[])
      .map(({ name, dataTypeID, format }) => ({ name, dataTypeID, format })),
  };
}

/** Buffers as arrays with a mark; instances of classes with their class's name. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof Date || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  const entries = Object.entries(value).map(([name, each]) => [name, plain(each)]);
  return { class: value.constructor?.name, ...Object.fromEntries(entries) };
}

const VALUES = [
  "1::int2, 1::int4, 1::int8, 9223372036854775807::int8 as big, -1::int8 as negative, 1::oid",
  "1.50::numeric, 'NaN'::numeric as nan, 1.5::float4, 'Infinity'::float8, 0.1::float8 + 0.2::float8 as sum",
  "true, false as no, null::bool as nothing",
  "'text'::text, 'v'::varchar, 'c'::char(3), 'n'::name, 'q'::\"char\" as q, 'ü'::citext_like as own",
  "date '2024-02-29', date '0044-03-15 BC' as bc, date 'infinity' as inf, date '0099-01-01' as early",
  "timestamp '2024-02-29 12:34:56.789123', timestamp '-infinity' as inf, timestamp '2024-03-31 02:30:00' as gap",
  "timestamptz '2024-02-29 12:34:56.789+02', timestamptz 'infinity' as inf, timestamptz '0044-03-15 BC' as bc",
  "time '12:34:56.7', timetz '12:34:56+02'",
  "interval '1 year 2 months 3 days 04:05:06.789', interval '-1 day -00:00:01' as negative, interval '0' as none",
  "'{\"a\":[1,null]}'::json, '\"x\"'::jsonb as text, 'null'::jsonb as nothing, '5'::jsonb as five",
  "'\\x00ff61'::bytea, ''::bytea as empty",
  "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '10.0.0.0/8'::cidr, '10.0.0.1'::inet, '08:00:2b:01:02:03'::macaddr",
  "point '(1,2.5)', circle '<(1,2),3>', box '(1,2),(3,4)', line '{1,2,3}'",
  "1::money, b'101', b'1'::varbit as var, 'a b'::tsvector, '<a/>'::xml, int4range(1,5), '0/1'::pg_lsn",
  "array[1,2,null], array[1::int8], array[1.5::numeric], array[0.5::float8], array[true,null]",
  "array['a','b,c','\"d\"',null,''], array['x'::varchar], array['n'::name] as names, array['c'::\"char\"] as chars",
  "array[date '2024-01-01'], array[timestamp '2024-01-01 01:00'] as stamps, array[timestamptz '2024-01-01 01:00+00'] as tzs",
  "array['{\"a\":1}'::json], array['[1]'::jsonb] as bs, array['\\x61'::bytea] as bytes, array[interval '1 day'] as days",
  "array[point '(1,2)'], array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid], array[[1,2],[3,4]] as nested, '{}'::int[] as none",
  "array['10.0.0.1'::inet], array['10.0.0.0/8'::cidr] as cidrs, array[1::money] as moneys, array[time '01:00'] as times",
  "row(1,'a') as record, 'one'::kind as kind, array['one'::kind] as kinds, 7::positive as domain, '[0:1]={1,2}'::int[] as bounds",
  '1 as twice, 2 as twice, 3 as "__proto__", 4 as "Mixed Case"',
];

const SETUP = [
  "create domain citext_like as text",
  "create type kind as enum ('one', 'two')",
  "create domain positive as int check (value > 0)",
  "create table things (id serial primary key, name text unique, at timestamp, on_day date, data jsonb, bytes bytea, tags text[])",
].join(";\n");

/** Run in this order, by each pool in a transaction of its own. */
const QUERIES: PgQuery[] = [
  ...VALUES.map((list) => ({ text: `select ${list}` })),
  ...VALUES.slice(0, 12).map((list) => ({ text: `select ${list}`, rowMode: "array" })),
  { text: "select $1::int as a, $2::text as b", values: [1, "two"] },
  { text: "select $1::text as a, $2::text as b", values: [undefined, null] },
  { text: "select $1::jsonb as a, $2::json as b", values: [{ a: [1] }, { toJSON: () => [1] }] },
  {
    text: "select $1::bytea as a, $2::bytea as b",
    values: [new Uint8Array([0, 255]), new DataView(new ArrayBuffer(2))],
  },
  { text: "select $1::bytea[] as a", values: [[new Uint8Array([1]), null]] },
  {
    text: "select $1::timestamp as a, $1::timestamptz as b, $1::date as c, $1::text as d",
    values: [new Date(1_700_000_000_123)],
  },
  {
    text: "select $1::timestamp as a, $2::timestamptz as b",
    values: [new Date(-100_000_000_000_000), new Date("0050-06-01")],
  },
  { text: "select $1::timestamp[] as a", values: [[new Date(0), null]] },
  {
    text: "select $1::int[] as a, $2::text[] as b",
    values: [[1, null, 3], ["a,b", '"', "\\", "", "NULL", null]],
  },
  { text: "select $1::int[] as a, $2::int[] as b", values: [[[1, 2], [3, 4]], []] },
  {
    text: "select $1::boolean as a, $2::int8 as b, $3::float8 as c",
    values: [true, 2n ** 60n, -0],
  },
  { text: "select $1::text as a", values: [{ toPostgres: () => "mine" }] },
  {
    text: "select $1::text[] as a",
    values: [[{ toPostgres: (prepare: (v: unknown) => unknown) => prepare([1]) }]],
  },
  { text: "select 1 where $1::int is null", values: [null], name: "by name" },
  { text: "select 1 as one where false" },
  { text: "select" },
  { text: "" },
  { text: " -- nothing" },
  { text: "insert into things (name) values ('a'), ('b')" },
  {
    text:
      "insert into things (name, at, on_day, data, tags) values ($1, $2, $3, $4, $5) returning *",
    values: ["c", new Date(1_700_000_000_000), new Date(1_700_000_000_000), { b: 2 }, ["x", "y"]],
  },
  { text: "update things set name = name" },
  { text: "update things set name = 'd' where false returning id" },
  { text: "delete from things where name = 'b'" },
  {
    text:
      "merge into things t using (values ('a'), ('z')) v (n) on t.name = v.n when matched then update set tags = '{}' when not matched then insert (name) values (n)",
  },
  { text: "create table copied as select * from things" },
  { text: "select * into again from things" },
  { text: "create index on things (at)" },
  { text: "explain (costs off) select 1" },
  { text: "show server_version_num" },
  { text: "set local lock_timeout = 1000" },
  { text: "declare c cursor for select 1" },
  { text: "fetch all from c" },
  { text: "move all from c" },
  { text: "savepoint one" },
  { text: "rollback to savepoint one" },
  { text: "release savepoint one" },
  { text: "do $$ begin null; end $$" },
  { text: "select 1 as a; select 2 as b, 3 as c;" },
  {
    text:
      "create table x1 (t text default ';'); insert into x1 default values; /* ; */ select * from x1 -- ; end",
  },
  { text: "select $a$;$a$ as a; select 'it''s ;' as b; select e'\\';' as c; select 1 as \";\"" },
  {
    text:
      "create function f1() returns int begin atomic select 1; select case when true then 2 end; end; select f1()",
  },
  { text: "create rule r1 as on delete to x1 do also (select 1; select 2); select 3 as three" },
  { text: ";;select 4 as four;;" },
];

Deno.test(`${QUERIES.length} queries give what node-postgres gives`, async () => {
  await withPools(async ({ ours, pool, theirs }) => {
    for (const statement of SETUP.split(";\n")) await ours.query(statement);
    const [mine, pg] = [await pool.connect(), await theirs.connect()];
    try {
      const results = [];
      for (const client of [mine, pg]) {
        await client.query("begin");
        const each = [];
        for (const query of QUERIES) {
          try {
            each.push([query.text, seen(await client.query({ ...query } as never))]);
          } catch (error) {
            throw new Error(`${client === mine ? "ours" : "pg"}: ${query.text}`, { cause: error });
          }
        }
        await client.query("rollback");
        // Serials are not rolled back.
        await client.query("alter sequence things_id_seq restart");
        results.push(each);
      }
      for (const [index, expected] of results[1]!.entries()) {
        assertEquals(results[0]![index], expected);
      }
    } finally {
      mine.release();
      pg.release();
    }
  });
});

const ERRORS: PgQuery[] = [
  { text: "select 1 / 0" },
  { text: "insert into things (name) values ('a'), ('a')" },
  { text: "insert into things (name) values ($1)", values: [{ a: 1 }, 2] },
  { text: "selec 1" },
  { text: "select missing from things" },
  { text: "insert into strict values (null)" },
  { text: "insert into strict values (-1)" },
  { text: "insert into strict values (1, 5)" },
  { text: "select 'x'::int" },
  {
    text:
      "do $$ begin raise exception 'mine' using detail = 'd', hint = 'h', errcode = 'ZZ001'; end $$",
  },
  { text: "insert into strict values (7); selec 1" },
  { text: "insert into strict values (8); select 1 / 0" },
];

const FIELDS = [
  ...["message", "code", "severity", "detail", "hint", "schema", "table", "column", "dataType"],
  ...["constraint", "where", "routine", "internalPosition", "internalQuery"],
];

Deno.test(`${ERRORS.length} errors have what node-postgres's errors have`, async () => {
  await withPools(async ({ ours, pool, theirs }) => {
    await ours.query("create table things (id serial primary key, name text unique)");
    await ours.query(
      "create table strict (n int not null check (n > 0), other int references things)",
    );
    for (const query of ERRORS) {
      const [mine, pg] = await Promise.all(
        [pool, theirs].map((each) => assertRejects(() => each.query({ ...query } as never), Error)),
      ) as unknown as Record<string, unknown>[];
      const of = (error: Record<string, unknown>) => FIELDS.map((name) => [name, error[name]]);
      assertEquals([query.text, of(mine!)], [query.text, of(pg!)]);
    }
    // Nothing of a text with an error was kept.
    assertEquals((await ours.query("select * from strict")).rows, []);
  });
});
