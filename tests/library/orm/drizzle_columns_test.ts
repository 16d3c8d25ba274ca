/**
 * Every column type and mode of Drizzle: written by `insert`, read by `returning`, `select` and a relational query, found
 * again by `eq`, and compared with what PostgreSQL itself says that it holds.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { eq, relations, sql } from "drizzle-orm";
import * as pg from "drizzle-orm/pg-core";
import { drizzleOn } from "../../../src/library/drizzle/mod.ts";
import { ormDatabase } from "./orm_database.ts";

const database = await ormDatabase(["create type mood as enum ('sad', 'ok', 'very happy')"]);
const mood = pg.pgEnum("mood", ["sad", "ok", "very happy"]);
const bytea = pg.customType<{ data: Uint8Array }>({ dataType: () => "bytea" });
const money = pg.customType<{ data: number; driverData: string }>({
  dataType: () => "numeric(10, 2)",
  toDriver: (cents) => (cents / 100).toFixed(2),
  fromDriver: (text) => Math.round(Number(text) * 100),
});

interface ColumnCase {
  readonly column: pg.PgColumnBuilderBase;
  readonly value: unknown;
  /** What PostgreSQL shows of the value. */
  readonly text: string;
  /** What is read, if not `value`. */
  readonly read?: unknown;
  /** PostgreSQL has no `=` for the type. */
  readonly unequal?: true;
}

const at = (text: string) => new Date(text);
const AWKWARD = "q\" b\\ c, {x} \n ü 🙂 '";

const CASES: Readonly<Record<string, ColumnCase>> = {
  "smallint": { column: pg.smallint(), value: -32768, text: "-32768" },
  "integer": { column: pg.integer(), value: 2147483647, text: "2147483647" },
  "bigint, mode number": {
    column: pg.bigint({ mode: "number" }),
    value: Number.MAX_SAFE_INTEGER,
    text: "9007199254740991",
  },
  "bigint, mode bigint": {
    column: pg.bigint({ mode: "bigint" }),
    value: 9223372036854775807n,
    text: "9223372036854775807",
  },
  "smallserial": { column: pg.smallserial(), value: 7, text: "7" },
  "serial": { column: pg.serial(), value: 8, text: "8" },
  "bigserial, mode number": { column: pg.bigserial({ mode: "number" }), value: 9, text: "9" },
  "bigserial, mode bigint": {
    column: pg.bigserial({ mode: "bigint" }),
    value: -9223372036854775808n,
    text: "-9223372036854775808",
  },
  "real": { column: pg.real(), value: 1.5, text: "1.5" },
  "double precision": { column: pg.doublePrecision(), value: 0.1, text: "0.1" },
  "double precision, infinite": {
    column: pg.doublePrecision(),
    value: -Infinity,
    text: "-Infinity",
  },
  "numeric": {
    column: pg.numeric({ precision: 40, scale: 20 }),
    value: "12345678901234567890.12345678901234567890",
    text: "12345678901234567890.12345678901234567890",
  },
  "numeric, mode number": { column: pg.numeric({ mode: "number" }), value: 1.25, text: "1.25" },
  "numeric, mode bigint": {
    column: pg.numeric({ mode: "bigint", precision: 40 }),
    value: 123456789012345678901234567890n,
    text: "123456789012345678901234567890",
  },
  "decimal": { column: pg.decimal(), value: "0.10", text: "0.10" },
  "boolean": { column: pg.boolean(), value: true, text: "true" },
  "boolean, false": { column: pg.boolean(), value: false, text: "false" },
  "text": { column: pg.text(), value: AWKWARD, text: AWKWARD },
  "text, empty": { column: pg.text(), value: "", text: "" },
  "text of an enum": { column: pg.text({ enum: ["a", "b"] }), value: "b", text: "b" },
  "varchar": { column: pg.varchar({ length: 100 }), value: AWKWARD, text: AWKWARD },
  "char": { column: pg.char({ length: 3 }), value: "ab ", text: "ab" },
  "uuid": {
    column: pg.uuid(),
    value: "0192f0c1-3b6e-7cc0-8000-000000000001",
    text: "0192f0c1-3b6e-7cc0-8000-000000000001",
  },
  "enum": { column: mood(), value: "very happy", text: "very happy" },
  "date, mode string": { column: pg.date(), value: "2024-02-29", text: "2024-02-29" },
  "date, mode date": {
    column: pg.date({ mode: "date" }),
    value: at("2024-02-29T00:00:00Z"),
    text: "2024-02-29",
  },
  "time": { column: pg.time(), value: "12:34:56.789012", text: "12:34:56.789012" },
  "time with time zone and precision": {
    column: pg.time({ withTimezone: true, precision: 3 }),
    value: "12:34:56.789+05:30",
    text: "12:34:56.789+05:30",
  },
  "timestamp, mode date": {
    column: pg.timestamp(),
    value: at("2024-02-29T23:59:59.123Z"),
    text: "2024-02-29 23:59:59.123",
  },
  "timestamp, mode string": {
    column: pg.timestamp({ mode: "string" }),
    value: "2024-02-29 23:59:59.123456",
    text: "2024-02-29 23:59:59.123456",
  },
  "timestamp, mode string with precision": {
    column: pg.timestamp({ mode: "string", precision: 3 }),
    value: "2024-02-29 23:59:59.123",
    text: "2024-02-29 23:59:59.123",
  },
  "timestamptz, mode date": {
    column: pg.timestamp({ withTimezone: true }),
    value: at("1999-12-31T23:59:59.999Z"),
    text: "1999-12-31 23:59:59.999+00",
  },
  "timestamptz, mode string": {
    column: pg.timestamp({ withTimezone: true, mode: "string" }),
    value: "2024-02-29 23:59:59.123456+02",
    text: "2024-02-29 21:59:59.123456+00",
    read: "2024-02-29 21:59:59.123456+00",
  },
  "timestamptz, infinite, mode string": {
    column: pg.timestamp({ withTimezone: true, mode: "string" }),
    value: "infinity",
    text: "infinity",
  },
  "interval": { column: pg.interval(), value: "1 day 02:03:04", text: "1 day 02:03:04" },
  "interval with fields": {
    column: pg.interval({ fields: "day to second", precision: 3 }),
    value: "1 day 02:03:04.567",
    text: "1 day 02:03:04.567",
  },
  "inet": { column: pg.inet(), value: "192.168.0.1/24", text: "192.168.0.1/24" },
  "cidr": { column: pg.cidr(), value: "10.1.0.0/16", text: "10.1.0.0/16" },
  "macaddr": { column: pg.macaddr(), value: "08:00:2b:01:02:03", text: "08:00:2b:01:02:03" },
  "macaddr8": {
    column: pg.macaddr8(),
    value: "08:00:2b:01:02:03:04:05",
    text: "08:00:2b:01:02:03:04:05",
  },
  "bit": { column: pg.bit({ dimensions: 5 }), value: "10110", text: "10110" },
  "point, mode tuple": { column: pg.point(), value: [1.5, -2], text: "(1.5,-2)", unequal: true },
  "point, mode xy": {
    column: pg.point({ mode: "xy" }),
    value: { x: 1.5, y: -2 },
    text: "(1.5,-2)",
    unequal: true,
  },
  "line, mode tuple": { column: pg.line(), value: [1, 2, 3], text: "{1,2,3}" },
  "line, mode abc": {
    column: pg.line({ mode: "abc" }),
    value: { a: 1, b: 2, c: 3 },
    text: "{1,2,3}",
  },
  "json, an object": {
    column: pg.json(),
    value: { b: [1, null, { c: AWKWARD }] },
    text: JSON.stringify({ b: [1, null, { c: AWKWARD }] }),
    unequal: true,
  },
  "json, an array": { column: pg.json(), value: [1, "two"], text: '[1,"two"]', unequal: true },
  "json, a text that is JSON": { column: pg.json(), value: "5", text: '"5"', unequal: true },
  "jsonb, an object": { column: pg.jsonb(), value: { a: 1 }, text: '{"a": 1}' },
  "jsonb, an empty array": { column: pg.jsonb(), value: [], text: "[]" },
  "jsonb, a text": { column: pg.jsonb(), value: AWKWARD, text: JSON.stringify(AWKWARD) },
  "jsonb, a text that is a number": { column: pg.jsonb(), value: "5", text: '"5"' },
  "jsonb, the text null": { column: pg.jsonb(), value: "null", text: '"null"' },
  "jsonb, a text that is a JSON text": { column: pg.jsonb(), value: '"x"', text: '"\\"x\\""' },
  "jsonb, a number": { column: pg.jsonb(), value: -1.5, text: "-1.5" },
  "jsonb, false": { column: pg.jsonb(), value: false, text: "false" },
  "bytea, a custom type": {
    column: bytea(),
    value: Uint8Array.of(0, 255, 92, 39),
    text: "\\x00ff5c27",
  },
  "a custom type with conversions": { column: money(), value: 1995, text: "19.95" },

  "smallint[]": { column: pg.smallint().array(), value: [1, -2], text: "{1,-2}" },
  "integer[] with null": { column: pg.integer().array(), value: [1, null, 3], text: "{1,NULL,3}" },
  "integer[], empty": { column: pg.integer().array(), value: [], text: "{}" },
  "integer[][]": {
    column: pg.integer().array().array(),
    value: [[1, 2], [3, 4]],
    text: "{{1,2},{3,4}}",
  },
  "bigint[], mode number": {
    column: pg.bigint({ mode: "number" }).array(),
    value: [9007199254740991],
    text: "{9007199254740991}",
  },
  "bigint[], mode bigint": {
    column: pg.bigint({ mode: "bigint" }).array(),
    value: [9223372036854775807n, -1n],
    text: "{9223372036854775807,-1}",
  },
  "real[]": { column: pg.real().array(), value: [0.5, -1], text: "{0.5,-1}" },
  "double precision[] with null": {
    column: pg.doublePrecision().array(),
    value: [0.1, null],
    text: "{0.1,NULL}",
  },
  "numeric[]": {
    column: pg.numeric().array(),
    value: ["1.10", "12345678901234567890.5"],
    text: "{1.10,12345678901234567890.5}",
  },
  "numeric[], mode number": {
    column: pg.numeric({ mode: "number" }).array(),
    value: [1.5, 2],
    text: "{1.5,2}",
  },
  "boolean[] with null": {
    column: pg.boolean().array(),
    value: [true, null, false],
    text: "{t,NULL,f}",
  },
  "text[]": {
    column: pg.text().array(),
    value: ["plain", "", "NULL", AWKWARD],
    text: `{plain,"","NULL","${AWKWARD.replace(/["\\]/g, "\\$&")}"}`,
  },
  "text[] with null": { column: pg.text().array(), value: ["a", null], text: "{a,NULL}" },
  "text[][]": {
    column: pg.text().array().array(),
    value: [["a", "b c"], ["{", "}"]],
    text: '{{a,"b c"},{"{","}"}}',
  },
  "varchar[]": { column: pg.varchar({ length: 9 }).array(), value: ["a,b"], text: '{"a,b"}' },
  "char[]": { column: pg.char({ length: 1 }).array(), value: ["a", "b"], text: "{a,b}" },
  "uuid[]": {
    column: pg.uuid().array(),
    value: ["0192f0c1-3b6e-7cc0-8000-000000000001"],
    text: "{0192f0c1-3b6e-7cc0-8000-000000000001}",
  },
  "enum[]": { column: mood().array(), value: ["ok", "very happy"], text: '{ok,"very happy"}' },
  "date[], mode string": { column: pg.date().array(), value: ["2024-02-29"], text: "{2024-02-29}" },
  "date[], mode date": {
    column: pg.date({ mode: "date" }).array(),
    value: [at("2024-02-29T00:00:00Z")],
    text: "{2024-02-29}",
  },
  "time[]": { column: pg.time().array(), value: ["12:34:56"], text: "{12:34:56}" },
  "timestamp[], mode date": {
    column: pg.timestamp().array(),
    value: [at("2024-02-29T23:59:59.123Z")],
    text: '{"2024-02-29 23:59:59.123"}',
  },
  "timestamp[], mode string": {
    column: pg.timestamp({ mode: "string" }).array(),
    value: ["2024-02-29 23:59:59.123456"],
    text: '{"2024-02-29 23:59:59.123456"}',
  },
  "timestamptz[], mode date, with null": {
    column: pg.timestamp({ withTimezone: true }).array(),
    value: [at("2024-02-29T23:59:59Z"), null],
    text: '{"2024-02-29 23:59:59+00",NULL}',
  },
  "timestamptz[], mode string": {
    column: pg.timestamp({ withTimezone: true, mode: "string" }).array(),
    value: ["2024-02-29 23:59:59+00"],
    text: '{"2024-02-29 23:59:59+00"}',
  },
  "interval[]": { column: pg.interval().array(), value: ["1 day"], text: '{"1 day"}' },
  "inet[]": { column: pg.inet().array(), value: ["10.0.0.1"], text: "{10.0.0.1}" },
  "cidr[]": { column: pg.cidr().array(), value: ["10.0.0.0/8"], text: "{10.0.0.0/8}" },
  "jsonb[]": {
    column: pg.jsonb().array(),
    value: [{ a: [1] }, "5", "x", 5],
    text: '{"{\\"a\\": [1]}","\\"5\\"","\\"x\\"",5}',
  },
  "json[] with null": {
    column: pg.json().array(),
    value: [[1], null],
    text: "{[1],NULL}",
    unequal: true,
  },
  "point[], mode xy": {
    column: pg.point({ mode: "xy" }).array(),
    value: [{ x: 1, y: 2 }],
    text: '{"(1,2)"}',
    unequal: true,
  },
  "array of a custom type": {
    column: money().array(),
    value: [1995, 5],
    text: "{19.95,0.05}",
  },
};

for (const [name, { column, value, text, read = value, unequal }] of Object.entries(CASES)) {
  Deno.test(`column ${name}`, () =>
    database.withSession(async (session) => {
      const values = pg.pgTable("values", {
        id: pg.integer(),
        v: column as pg.PgTextBuilder<never>,
      });
      const db = drizzleOn(session, { schema: { values } });
      await db.execute(`create table "values" (id int, v ${values.v.getSQLType()})`);
      // A serial column cannot be null: its default is the next number.
      const absent = values.v.hasDefault ? undefined : null;
      const first = values.v.hasDefault ? (typeof value === "bigint" ? 1n : 1) : null;
      const rows = [{ id: 1, v: value as never }, { id: 2, v: absent }];
      const returned = await db.insert(values).values(rows).returning();
      assertEquals(returned, [{ id: 1, v: read }, { id: 2, v: first }] as never);
      assertEquals(await db.select().from(values).orderBy(values.id), returned);
      assertEquals(await db.query.values.findMany({ orderBy: values.id }), returned as never);
      const { rows: shown } = await db.execute<{ text: string | null }>(
        sql`select ${values.v}::text as text from ${values} order by id`,
      );
      assertEquals(shown, [{ text }, { text: first === null ? null : String(first) }]);
      if (unequal) return;
      const found = await db.select({ id: values.id }).from(values)
        .where(eq(values.v, value as never));
      assertEquals(found, [{ id: 1 }]);
    }));
}

/** Faults of Drizzle's decoders with every driver. Pinned, so that an upgrade that mends one is noticed. */
const FAULTS: Readonly<
  Record<string, [column: pg.PgColumnBuilderBase, type: string, read?: unknown]>
> = {
  "bigint[], mode number": [pg.bigint({ mode: "number" }).array(), "bigint[]", [0]],
  "bigint[], mode bigint": [pg.bigint({ mode: "bigint" }).array(), "bigint[]"],
  "numeric[]": [pg.numeric().array(), "numeric[]", ["null"]],
  "numeric[], mode number": [pg.numeric({ mode: "number" }).array(), "numeric[]", [0]],
  "date[], mode string": [pg.date().array(), "date[]"],
  "timestamp[], mode string": [pg.timestamp({ mode: "string" }).array(), "timestamp[]"],
};

for (const [name, [column, type, read]] of Object.entries(FAULTS)) {
  Deno.test(`Drizzle's own fault: NULL in ${name}`, () =>
    database.withSession(async (session) => {
      const values = pg.pgTable("values", { v: column as pg.PgTextBuilder<never> });
      const db = drizzleOn(session);
      await db.execute(`create table "values" (v ${type})`);
      await db.execute(`insert into "values" values ('{NULL}')`);
      const select = () => db.select().from(values);
      if (read === undefined) await assertRejects(select, TypeError);
      else assertEquals(await select(), [{ v: read }] as never);
    }));
}

Deno.test("Drizzle's own fault: digits of a bigint in a nested relation, which comes as JSON", () =>
  database.withSession(async (session) => {
    const one = pg.pgTable("one", { id: pg.integer() });
    const many = pg.pgTable("many", { id: pg.integer(), n: pg.bigint({ mode: "bigint" }) });
    const schema = {
      one,
      many,
      ofOne: relations(one, (to) => ({ many: to.many(many) })),
      ofMany: relations(
        many,
        (to) => ({ one: to.one(one, { fields: [many.id], references: [one.id] }) }),
      ),
    };
    const db = drizzleOn(session, { schema });
    await db.execute("create table one (id int)");
    await db.execute("create table many (id int, n bigint)");
    await db.insert(one).values({ id: 1 });
    await db.insert(many).values({ id: 1, n: 9007199254740993n });
    assertEquals(await db.query.many.findFirst(), { id: 1, n: 9007199254740993n });
    assertEquals(await db.query.one.findFirst({ with: { many: { columns: { n: true } } } }), {
      id: 1,
      many: [{ n: 9007199254740992n }],
    });
  }));
