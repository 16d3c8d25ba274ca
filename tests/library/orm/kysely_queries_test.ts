/** Kysely's queries on a session: what Kysely's documentation shows, on a real server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  CamelCasePlugin,
  CompiledQuery,
  DeduplicateJoinsPlugin,
  type Expression,
  expressionBuilder,
  type Kysely,
  NoResultError,
  ParseJSONResultsPlugin,
  replaceWithNoncontingentExpression,
  sql,
} from "kysely";
import {
  jsonArrayFrom,
  jsonBuildObject,
  jsonObjectFrom,
  mergeAction,
} from "kysely/helpers/postgres";
import { ServerError, type Session } from "../../../src/db/mod.ts";
import { kyselyOn } from "../../../src/library/kysely/mod.ts";
import { type DB, SETUP } from "./kysely_schema.ts";
import { ormDatabase } from "./orm_database.ts";

const database = await ormDatabase(SETUP);

type Case = (db: Kysely<DB>, session: Session) => Promise<void>;

const firstNames = (rows: readonly { first_name: string }[]) =>
  rows.map(({ first_name }) => first_name);
const dan = { first_name: "Dan", gender: "male" } as const;

const SELECTS: Record<string, Case> = {
  "selectAll reads each type as the session does": async (db) => {
    const row = await db.selectFrom("person").selectAll().where("id", "=", 1)
      .executeTakeFirstOrThrow();
    assertEquals(row, {
      id: 1,
      first_name: "Jennifer",
      last_name: "Aniston",
      gender: "female",
      visits: 9007199254740993n,
      balance: "10.50",
      tags: ["a", "b"],
      profile: { city: "Oslo", zip: 1 },
      created_at: new Date("2024-01-01T00:00:00.123Z"),
    });
  },
  "columns and aliases": async (db) => {
    const rows = await db.selectFrom("person as p").select(["p.id", "p.first_name as name"])
      .orderBy("id").limit(1).execute();
    assertEquals(rows, [{ id: 1, name: "Jennifer" }]);
  },
  "a callback with expressions": async (db) => {
    const rows = await db.selectFrom("person").select(({ fn, lit, ref }) => [
      fn<string>("upper", ["first_name"]).as("loud"),
      fn<string>("concat", [ref("first_name"), sql.lit(" "), ref("last_name")]).as("full"),
      lit(7).as("seven"),
    ]).where("id", "=", 2).execute();
    assertEquals(rows, [{ loud: "ARNOLD", full: "Arnold Schwarzenegger", seven: 7 }]);
  },
  "no row": async (db) => {
    const none = db.selectFrom("person").select("id").where("id", "=", 99);
    assertEquals(await none.execute(), []);
    assertEquals(await none.executeTakeFirst(), undefined);
    await assertRejects(() => none.executeTakeFirstOrThrow(), NoResultError);
    await assertRejects(
      () => none.executeTakeFirstOrThrow(() => new RangeError("own")),
      RangeError,
    );
  },
  "inner join": async (db) => {
    const rows = await db.selectFrom("person").innerJoin("pet", "pet.owner_id", "person.id")
      .select(["first_name", "pet.name"]).where("species", "=", "cat").execute();
    assertEquals(rows, [{ first_name: "Jennifer", name: "Catto" }]);
  },
  "left join gives null": async (db) => {
    const rows = await db.selectFrom("person").leftJoin("pet", "pet.owner_id", "person.id")
      .select(["first_name", "pet.name as pet"]).where("pet.id", "is", null).execute();
    assertEquals(rows, [{ first_name: "Sylvester", pet: null }]);
  },
  "right join and full join": async (db) => {
    const right = await db.selectFrom("pet").rightJoin("person", "pet.owner_id", "person.id")
      .select("pet.id").execute();
    const full = await db.selectFrom("pet").fullJoin("person", "pet.owner_id", "person.id")
      .select("person.id").execute();
    assertEquals([right.length, full.length], [4, 4]);
  },
  "cross join": async (db) => {
    const rows = await db.selectFrom("person").crossJoin("pet").select("pet.id").execute();
    assertEquals(rows.length, 9);
  },
  "a join with conditions": async (db) => {
    const rows = await db.selectFrom("person").innerJoin(
      "pet",
      (join) => join.onRef("pet.owner_id", "=", "person.id").on("pet.species", "=", "dog"),
    )
      .select("pet.name").orderBy("pet.name").execute();
    assertEquals(rows, [{ name: "Doggo" }, { name: "Hammo" }]);
  },
  "a join of a subquery": async (db) => {
    const rows = await db.selectFrom("person")
      .innerJoin(
        (eb) =>
          eb.selectFrom("pet").select(["owner_id", "name"]).where("species", "=", "cat").as("cat"),
        (join) => join.onRef("cat.owner_id", "=", "person.id"),
      ).select(["cat.name", "first_name"]).execute();
    assertEquals(rows, [{ name: "Catto", first_name: "Jennifer" }]);
  },
  "lateral join": async (db) => {
    const rows = await db.selectFrom("person").leftJoinLateral(
      (eb) =>
        eb.selectFrom("pet").select("name").whereRef("pet.owner_id", "=", "person.id")
          .orderBy("name").limit(1).as("p"),
      (join) => join.onTrue(),
    ).select("p.name").orderBy("person.id").execute();
    assertEquals(rows, [{ name: "Catto" }, { name: "Doggo" }, { name: null }]);
  },
  "self join": async (db) => {
    const rows = await db.selectFrom("pet as a").innerJoin("pet as b", "a.owner_id", "b.owner_id")
      .select(["a.name as one", "b.name as other"]).whereRef("a.id", "<", "b.id").execute();
    assertEquals(rows, [{ one: "Catto", other: "Hammo" }]);
  },
  "where with operators": async (db) => {
    const rows = await db.selectFrom("person").select("first_name")
      .where("first_name", "like", "%l%").where("id", "!=", 2).where("id", ">=", 1)
      .where("last_name", "is not", null).orderBy("id").execute();
    assertEquals(firstNames(rows), ["Sylvester"]);
  },
  "where in": async (db) => {
    const rows = await db.selectFrom("person").select("first_name").where("id", "in", [1, 3])
      .orderBy("id").execute();
    assertEquals(firstNames(rows), ["Jennifer", "Sylvester"]);
  },
  "where in a subquery": async (db) => {
    const rows = await db.selectFrom("person").select("first_name")
      .where("id", "in", (eb) => eb.selectFrom("pet").select("owner_id")).orderBy("id").execute();
    assertEquals(firstNames(rows), ["Jennifer", "Arnold"]);
  },
  "where = any(array)": async (db) => {
    const rows = await db.selectFrom("person").select("first_name")
      .where((eb) => eb("id", "=", eb.fn.any(sql<number[]>`${[2, 3]}::int[]`))).orderBy("id")
      .execute();
    assertEquals(firstNames(rows), ["Arnold", "Sylvester"]);
  },
  "and, or, not, exists, between": async (db) => {
    const rows = await db.selectFrom("person").select("first_name").where(
      ({ eb, and, or, not, exists, selectFrom }) =>
        and([
          or([eb("first_name", "=", "Arnold"), eb.between("id", 3, 9)]),
          not(eb("last_name", "=", "Stallone")),
          exists(selectFrom("pet").select("pet.id").whereRef("owner_id", "=", "person.id")),
        ]),
    ).execute();
    assertEquals(firstNames(rows), ["Arnold"]);
  },
  "where an object and a tuple": async (db) => {
    const one = await db.selectFrom("person").select("first_name")
      .where((eb) => eb.and({ first_name: "Arnold", gender: "male" })).execute();
    const two = await db.selectFrom("person").select("first_name")
      .where(({ eb, refTuple, tuple }) =>
        eb(refTuple("first_name", "id"), "in", [tuple("Arnold", 2), tuple("Jennifer", 9)])
      ).execute();
    assertEquals([firstNames(one), firstNames(two)], [["Arnold"], ["Arnold"]]);
  },
  "where a date to the millisecond": async (db) => {
    const rows = await db.selectFrom("person").select("first_name")
      .where("created_at", "=", new Date("2024-01-01T00:00:00.123Z")).execute();
    assertEquals(firstNames(rows), ["Jennifer"]);
  },
  "where a bigint": async (db) => {
    const rows = await db.selectFrom("person").select("id")
      .where("visits", "=", 9007199254740993n).execute();
    assertEquals(rows, [{ id: 1 }]);
  },
  "aggregates": async (db) => {
    const row = await db.selectFrom("person").select(({ fn }) => [
      fn.countAll<bigint>().as("n"),
      fn.count<bigint>("gender").distinct().as("genders"),
      fn.sum<string>("balance").as("sum"),
      fn.max("created_at").as("last"),
      fn.avg<string>("id").as("avg"),
    ]).executeTakeFirstOrThrow();
    assertEquals(row, {
      n: 3n,
      genders: 2n,
      sum: "11.50",
      last: new Date("2024-03-01T00:00:00Z"),
      avg: "2.0000000000000000",
    });
  },
  "filterWhere, over, and agg": async (db) => {
    const rows = await db.selectFrom("pet").select(({ fn }) => [
      fn.count<bigint>("id").filterWhere("species", "=", "dog").over((w) =>
        w.partitionBy("owner_id")
      )
        .as("dogs"),
      fn.agg<bigint>("rank").over((w) => w.orderBy("name")).as("rank"),
    ]).orderBy("name").execute();
    assertEquals(rows, [{ dogs: 1n, rank: 1n }, { dogs: 1n, rank: 2n }, { dogs: 1n, rank: 3n }]);
  },
  "group by and having": async (db) => {
    const rows = await db.selectFrom("pet").select([
      "owner_id",
      ({ fn }) => fn.countAll<bigint>().as("n"),
    ])
      .groupBy("owner_id").having(({ fn }) => fn.countAll(), ">", 1).execute();
    assertEquals(rows, [{ owner_id: 1, n: 2n }]);
  },
  "distinct and distinct on": async (db) => {
    assertEquals((await db.selectFrom("pet").select("species").distinct().execute()).length, 2);
    const rows = await db.selectFrom("pet").distinctOn("owner_id").select("name")
      .orderBy("owner_id").orderBy("name", "desc").execute();
    assertEquals(rows, [{ name: "Hammo" }, { name: "Doggo" }]);
  },
  "order by with nulls, limit and offset": async (db) => {
    const rows = await db.selectFrom("person").select("first_name")
      .orderBy("profile", (o) => o.desc().nullsLast()).orderBy("first_name").limit(1).offset(2)
      .execute();
    assertEquals(firstNames(rows), ["Arnold"]);
  },
  "with": async (db) => {
    const rows = await db.with(
      "dogs",
      (q) => q.selectFrom("pet").selectAll().where("species", "=", "dog"),
    )
      .selectFrom("dogs").select("name").orderBy("name").execute();
    assertEquals(rows, [{ name: "Doggo" }, { name: "Hammo" }]);
  },
  "withRecursive": async (db) => {
    const rows = await db.withRecursive(
      "counter(n)",
      (q) =>
        q.selectNoFrom(sql<number>`1`.as("n"))
          .unionAll(q.selectFrom("counter").select(sql<number>`n + 1`.as("n")).where("n", "<", 4)),
    ).selectFrom("counter").select("n").execute();
    assertEquals(rows, [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  },
  "union, intersect and except": async (db) => {
    const ids = db.selectFrom("person").select("id");
    const owners = db.selectFrom("pet").select("owner_id as id");
    assertEquals((await ids.union(owners).execute()).length, 3);
    assertEquals((await ids.unionAll(owners).execute()).length, 6);
    assertEquals((await ids.intersect(owners).execute()).length, 2);
    assertEquals(await ids.except(owners).execute(), [{ id: 3 }]);
  },
  "case": async (db) => {
    const rows = await db.selectFrom("person").select((eb) =>
      eb.case().when("gender", "=", "female").then("f").else("m").end().as("g")
    ).orderBy("id").execute();
    assertEquals(rows.map(({ g }) => g), ["f", "m", "m"]);
  },
  "a json path": async (db) => {
    const rows = await db.selectFrom("person").select((eb) => [
      eb.ref("profile", "->>").key("city").as("city"),
      eb.ref("profile", "->").key("zip").as("zip"),
    ]).where("id", "=", 1).execute();
    assertEquals(rows, [{ city: "Oslo", zip: 1 }]);
  },
  "jsonArrayFrom, jsonObjectFrom and jsonBuildObject": async (db) => {
    const row = await db.selectFrom("person").select((eb) => [
      "id",
      jsonArrayFrom(
        eb.selectFrom("pet").select(["name", "species"]).whereRef("owner_id", "=", "person.id")
          .orderBy("name"),
      ).as("pets"),
      jsonObjectFrom(
        eb.selectFrom("pet").select("pet.name").whereRef("owner_id", "=", "person.id")
          .where("species", "=", "cat"),
      ).as("cat"),
      jsonBuildObject({ first: eb.ref("first_name") }).as("name"),
    ]).where("id", "=", 1).executeTakeFirstOrThrow();
    assertEquals(row, {
      id: 1,
      pets: [{ name: "Catto", species: "cat" }, { name: "Hammo", species: "dog" }],
      cat: { name: "Catto" },
      name: { first: "Jennifer" },
    });
  },
  "for update, skip locked": async (db) => {
    const rows = await db.selectFrom("person").select("id").where("id", "=", 1).forUpdate()
      .skipLocked().execute();
    assertEquals(rows, [{ id: 1 }]);
  },
  "$if, $call and $narrowType": async (db) => {
    const rows = await db.selectFrom("person").select("id").$if(true, (q) => q.select("first_name"))
      .$if(false, (q) => q.where("id", "=", 99)).$call((q) => q.limit(1)).orderBy("id").execute();
    assertEquals(rows, [{ id: 1, first_name: "Jennifer" }]);
  },
  "dynamic references": async (db) => {
    const { ref } = db.dynamic;
    const rows = await db.selectFrom("person").select(ref<"id">("person.id")).orderBy(
      ref("first_name"),
    )
      .limit(1).execute();
    assertEquals(rows, [{ id: 2 }]);
  },
  "a table of another schema, and withSchema": async (db) => {
    await db.insertInto("archive.person").values({ id: 1, name: "Old" }).execute();
    const rows = await db.withSchema("archive").selectFrom("person").select("id").execute();
    assertEquals(rows, [{ id: 1 }]);
  },
  "selectNoFrom": async (db) => {
    const row = await db.selectNoFrom((eb) => [eb.val("x").$castTo<string>().as("x")])
      .executeTakeFirst();
    assertEquals(row, { x: "x" });
  },
  "a list of values as a table": async (db) => {
    const rows = await db.selectFrom(
      sql<{ id: number; n: string }>`(values (${1}::int, ${"one"}), (2, ${"two"}))`.as<"v">(
        sql`v(id, n)`,
      ),
    ).select(["v.id", "v.n"]).orderBy("v.id").execute();
    assertEquals(rows, [{ id: 1, n: "one" }, { id: 2, n: "two" }]);
  },
  "an expression made outside of a query": async (db) => {
    const isCat = (): Expression<boolean> =>
      expressionBuilder<DB, "pet">()("species", "=", "cat") as Expression<boolean>;
    const rows = await db.selectFrom("pet").select("name").where(isCat()).execute();
    assertEquals(rows, [{ name: "Catto" }]);
  },
  "explain": async (db) => {
    const plan = await db.selectFrom("person").selectAll().explain("json", sql`analyze true`);
    assert(JSON.stringify(plan).includes("Seq Scan"));
  },
  "table functions and set_config in a session": async (db) => {
    const { rows } = await sql<{ n: number }>`select n from generate_series(1, 3) n`.execute(db);
    assertEquals(rows.map(({ n }) => n), [1, 2, 3]);
  },
  "an empty in-list": async (db) => {
    await assertRejects(
      () => db.selectFrom("person").select("id").where("id", "in", []).execute(),
      ServerError,
    );
  },
  "coalesce and cast": async (db) => {
    const row = await db.selectFrom("person").select((eb) => [
      eb.fn.coalesce("last_name", eb.val("none")).as("last"),
      eb.cast<string>("id", "text").as("id"),
    ]).where("id", "=", 3).executeTakeFirst();
    assertEquals(row, { last: "Stallone", id: "3" });
  },
};

const WRITES: Record<string, Case> = {
  "insert gives numInsertedOrUpdatedRows": async (db) => {
    const result = await db.insertInto("person").values(dan).executeTakeFirstOrThrow();
    assertEquals(result.numInsertedOrUpdatedRows, 1n);
    assertEquals(result.insertId, undefined);
  },
  "insert of several rows": async (db) => {
    const [result] = await db.insertInto("person").values([dan, dan, dan]).execute();
    assertEquals(result!.numInsertedOrUpdatedRows, 3n);
  },
  "insert returning, with defaults": async (db) => {
    const row = await db.insertInto("person").values(dan).returningAll().executeTakeFirstOrThrow();
    assert(row.id > 3 && row.created_at instanceof Date);
    assertEquals([row.visits, row.balance, row.tags, row.profile], [0n, "0.00", [], null]);
  },
  "insert of all types": async (db) => {
    const at = new Date("2024-05-05T05:05:05.005Z");
    const row = await db.insertInto("person").values({
      ...dan,
      visits: 9223372036854775807n,
      balance: "1234567890.12",
      tags: ['a"b', "c,d", ""],
      profile: JSON.stringify({ city: 'Pa"ris' }),
      created_at: at,
    }).returning(["visits", "balance", "tags", "profile", "created_at"]).executeTakeFirstOrThrow();
    assertEquals(row, {
      visits: 9223372036854775807n,
      balance: "1234567890.12",
      tags: ['a"b', "c,d", ""],
      profile: { city: 'Pa"ris' },
      created_at: at,
    });
  },
  "insert of undefined takes the default, and of null is null": async (db) => {
    const row = await db.insertInto("person").values({ ...dan, last_name: null, visits: undefined })
      .returning(["last_name", "visits"]).executeTakeFirst();
    assertEquals(row, { last_name: null, visits: 0n });
  },
  "insert of expressions": async (db) => {
    const row = await db.insertInto("person").values(({ selectFrom, fn }) => ({
      ...dan,
      last_name: fn<string>("upper", [sql.lit("x")]),
      visits: selectFrom("pet").select(({ fn }) => fn.countAll<bigint>().as("n")),
    })).returning(["last_name", "visits"]).executeTakeFirst();
    assertEquals(row, { last_name: "X", visits: 3n });
  },
  "insert from a select": async (db) => {
    const result = await db.insertInto("archive.person").columns(["id", "name"])
      .expression((eb) => eb.selectFrom("person").select(["id", "first_name"])).executeTakeFirst();
    assertEquals(result.numInsertedOrUpdatedRows, 3n);
  },
  "insert of default values": async (db) => {
    await db.schema.createTable("defaulted").addColumn("n", "integer", (c) => c.defaultTo(7))
      .execute();
    const plain = db as unknown as Kysely<{ defaulted: { n: number } }>;
    assertEquals(await plain.insertInto("defaulted").defaultValues().returningAll().execute(), [{
      n: 7,
    }]);
  },
  "insert on conflict do nothing": async (db) => {
    const result = await db.insertInto("pet").values({ owner_id: 1, name: "Catto", species: "cat" })
      .onConflict((oc) => oc.column("name").doNothing()).executeTakeFirst();
    assertEquals(result.numInsertedOrUpdatedRows, 0n);
  },
  "insert on conflict do update": async (db) => {
    const rows = await db.insertInto("pet").values({ owner_id: 3, name: "Catto", species: "cat" })
      .onConflict((oc) =>
        oc.column("name").doUpdateSet((eb) => ({ owner_id: eb.ref("excluded.owner_id") }))
          .where("pet.owner_id", "=", 1)
      ).returning(["name", "owner_id"]).execute();
    assertEquals(rows, [{ name: "Catto", owner_id: 3 }]);
  },
  "insert of 500 rows is one statement": async (db) => {
    const rows = Array.from({ length: 500 }, (_, n) => ({ id: n, name: `n ${n}` }));
    const [result, ...more] = await db.insertInto("archive.person").values(rows).execute();
    assertEquals([result!.numInsertedOrUpdatedRows, more.length], [500n, 0]);
  },
  "update gives numUpdatedRows": async (db) => {
    const result = await db.updateTable("person").set({ visits: 1 }).where("gender", "=", "male")
      .executeTakeFirst();
    assertEquals([result.numUpdatedRows, result.numChangedRows], [2n, undefined]);
    const none = await db.updateTable("person").set("visits", 1).where("id", "=", 99)
      .executeTakeFirst();
    assertEquals(none.numUpdatedRows, 0n);
  },
  "update by expressions, returning": async (db) => {
    const rows = await db.updateTable("person").set((eb) => ({
      visits: eb("visits", "+", 1n),
      last_name: eb.fn<string>("upper", ["last_name"]),
    })).where("id", "=", 1).returning(["visits", "last_name"]).execute();
    assertEquals(rows, [{ visits: 9007199254740994n, last_name: "ANISTON" }]);
  },
  "update from another table": async (db) => {
    const rows = await db.updateTable("person").from("pet")
      .set((eb) => ({ last_name: eb.ref("pet.name") }))
      .whereRef("pet.owner_id", "=", "person.id").where("pet.species", "=", "cat")
      .returning(["first_name", "last_name"]).execute();
    assertEquals(rows, [{ first_name: "Jennifer", last_name: "Catto" }]);
  },
  "delete gives numDeletedRows": async (db) => {
    const result = await db.deleteFrom("pet").where("owner_id", "=", 1).executeTakeFirst();
    assertEquals(result.numDeletedRows, 2n);
  },
  "delete using, returning": async (db) => {
    const rows = await db.deleteFrom("pet").using("person").whereRef(
      "pet.owner_id",
      "=",
      "person.id",
    )
      .where("first_name", "=", "Arnold").returning("pet.name").execute();
    assertEquals(rows, [{ name: "Doggo" }]);
  },
  "with an insert, and a select from it": async (db) => {
    const rows = await db.with(
      "made",
      (q) => q.insertInto("person").values(dan).returning(["id", "first_name"]),
    )
      .selectFrom("made").select("first_name").execute();
    assertEquals(firstNames(rows), ["Dan"]);
  },
  "merge gives numChangedRows": async (db) => {
    const result = await db.mergeInto("archive.person as a")
      .using("person as p", "a.id", "p.id")
      .whenNotMatched().thenInsertValues((eb) => ({
        id: eb.ref("p.id"),
        name: eb.ref("p.first_name"),
      }))
      .executeTakeFirstOrThrow();
    assertEquals(result.numChangedRows, 3n);
    const again = await db.mergeInto("archive.person as a").using("person as p", "a.id", "p.id")
      .whenMatchedAnd("a.id", "=", 1).thenDelete()
      .whenMatched().thenUpdateSet({ name: "x" })
      .whenNotMatched().thenDoNothing().executeTakeFirstOrThrow();
    assertEquals(again.numChangedRows, 3n);
  },
  "merge returning its action": async (db) => {
    const rows = await db.mergeInto("archive.person as a").using("person as p", "a.id", "p.id")
      .whenNotMatched().thenInsertValues((eb) => ({ id: eb.ref("p.id"), name: eb.val("n") }))
      .returning([mergeAction().as("action"), "a.id"]).execute();
    assertEquals(rows.map(({ action }) => action), ["INSERT", "INSERT", "INSERT"]);
  },
  "a write's raw result has numAffectedRows, a select's has none": async (db) => {
    const write = await sql`update person set visits = 0`.execute(db);
    assertEquals([write.numAffectedRows, write.rows], [3n, []]);
    const read = await sql`select 1 as one`.execute(db);
    assertEquals(["numAffectedRows" in read, read.rows], [false, [{ one: 1 }]]);
  },
};

const RAW: Record<string, Case> = {
  "sql with values, references, tables, ids, literals and joins": async (db) => {
    const { rows } = await sql<{ id: number; n: string }>`
      select ${sql.ref("p.id")}, ${sql.lit("n")} as ${sql.id("n")} from ${sql.table("person")} as p
      where p.id in (${sql.join([1, 2])}) and ${sql.raw("true")} order by 1`.execute(db);
    assertEquals(rows, [{ id: 1, n: "n" }, { id: 2, n: "n" }]);
  },
  "values of all kinds": async (db) => {
    const at = new Date("2024-01-02T03:04:05.006Z");
    const { rows } = await sql`select ${"t'ext"}::text as t, ${1}::int as i, ${2n}::int8 as b,
      ${true}::bool as y, ${null}::text as n, ${at}::timestamptz as at, ${[1, 2]}::int[] as list,
      ${Uint8Array.of(1, 2)}::bytea as bytes, ${{ a: [1] }}::jsonb as j`.execute(db);
    assertEquals(rows, [{
      t: "t'ext",
      i: 1,
      b: 2n,
      y: true,
      n: null,
      at,
      list: [1, 2],
      bytes: Uint8Array.of(1, 2),
      j: { a: [1] },
    }]);
  },
  "CompiledQuery.raw": async (db) => {
    const { rows } = await db.executeQuery(CompiledQuery.raw("select $1::int + 1 as two", [1]));
    assertEquals(rows, [{ two: 2 }]);
  },
  "a compiled query, many times": async (db) => {
    const query = db.selectFrom("person").select("first_name").where("id", "=", 1).compile();
    assertEquals([query.sql, query.parameters], [
      'select "first_name" from "person" where "id" = $1',
      [1],
    ]);
    for (let time = 0; time < 3; time++) {
      assertEquals(firstNames((await db.executeQuery(query)).rows), ["Jennifer"]);
    }
  },
  "undefined as a value is refused": async (db) => {
    await assertRejects(() => sql`select ${undefined}`.execute(db), TypeError, "undefined");
  },
  "an array in an in-list is refused, with the way out": async (db) => {
    await assertRejects(() => sql`select 1 where 1 in (${[1]})`.execute(db), TypeError, "= any");
  },
};

const STREAMS: Record<string, Case> = {
  "all rows in their order, whatever the size of the chunks": async (db) => {
    for (const chunkSize of [1, 2, 3, 100, undefined]) {
      const rows = await Array.fromAsync(
        db.selectFrom("person").select("first_name").orderBy("id").stream(chunkSize),
      );
      assertEquals(firstNames(rows), ["Jennifer", "Arnold", "Sylvester"]);
    }
  },
  "no rows": async (db) => {
    const rows = db.selectFrom("person").select("id").where("id", "=", 99).stream(2);
    assertEquals(await Array.fromAsync(rows), []);
  },
  "10,000 rows": async (db) => {
    let sum = 0;
    const query = sql<{ n: number }>`(select n from generate_series(1, 10000) n)`;
    for await (const { n } of db.selectFrom(query.as("s")).select("s.n" as never).stream(999)) {
      sum += n as number;
    }
    assertEquals(sum, 50_005_000);
  },
  "left early, and the session goes on": async (db) => {
    for await (const { id } of db.selectFrom("person").select("id").orderBy("id").stream(1)) {
      if (id === 2) break;
    }
    assertEquals((await db.selectFrom("pet").selectAll().execute()).length, 3);
  },
  "an error of the consumer ends it": async (db) => {
    await assertRejects(
      async () => {
        for await (const _ of db.selectFrom("person").select("id").stream(1)) {
          throw new Error("mine");
        }
      },
      Error,
      "mine",
    );
    assertEquals((await db.selectFrom("pet").selectAll().execute()).length, 3);
  },
  "other queries in between": async (db) => {
    const seen: number[] = [];
    for await (const { id } of db.selectFrom("person").select("id").orderBy("id").stream(1)) {
      await db.updateTable("person").set({ visits: id }).where("id", "=", id).execute();
      seen.push(id);
    }
    assertEquals(seen, [1, 2, 3]);
  },
  "insert returning": async (db) => {
    const rows = db.insertInto("person").values([dan, dan]).returning("first_name").stream(1);
    assertEquals(firstNames(await Array.fromAsync(rows)), ["Dan", "Dan"]);
  },
  "a server's error": async (db) => {
    const rows = db.selectFrom("person").select(sql`1 / (id - 3)`.as("x")).orderBy("id").stream(1);
    await assertRejects(() => Array.fromAsync(rows), ServerError, "division by zero");
  },
};

const SCHEMA: Record<string, Case> = {
  "create, alter and drop a table": async (db) => {
    await db.schema.createTable("t").addColumn("id", "serial", (c) => c.primaryKey())
      .addColumn("name", "varchar(20)", (c) => c.notNull().unique())
      .addColumn("owner", "integer", (c) => c.references("person.id").onDelete("cascade"))
      .addColumn("at", "timestamptz", (c) => c.defaultTo(sql`now()`))
      .addCheckConstraint("named", sql`name <> ''`).execute();
    await db.schema.alterTable("t").addColumn("more", "jsonb").execute();
    await db.schema.alterTable("t").renameColumn("more", "less").execute();
    await db.schema.createIndex("t_owner").on("t").columns(["owner", "name"]).execute();
    const tables = await db.introspection.getTables();
    const table = tables.find(({ name }) => name === "t");
    assertEquals(table?.columns.map(({ name, dataType }) => [name, dataType]), [
      ["id", "int4"],
      ["name", "varchar"],
      ["owner", "int4"],
      ["at", "timestamptz"],
      ["less", "jsonb"],
    ]);
    assertEquals(table?.columns[0]?.isAutoIncrementing, true);
    await db.schema.dropTable("t").execute();
    assert(!(await db.introspection.getTables()).some(({ name }) => name === "t"));
  },
  "create a table as a select, and a view": async (db) => {
    await db.schema.createTable("cats").as(
      db.selectFrom("pet").selectAll().where("species", "=", "cat"),
    )
      .execute();
    await db.schema.createView("dogs").as(
      db.selectFrom("pet").selectAll().where("species", "=", "dog"),
    )
      .execute();
    const tables = await db.introspection.getTables();
    assertEquals(tables.find(({ name }) => name === "dogs")?.isView, true);
    const { rows } = await sql<{ n: number }>`select (select count(*) from cats)::int as n`.execute(
      db,
    );
    assertEquals(rows, [{ n: 1 }]);
  },
  "create a schema and a type": async (db) => {
    await db.schema.createSchema("extra").execute();
    await db.schema.createType("species").asEnum(["cat", "dog"]).execute();
    await db.schema.withSchema("extra").createTable("t").addColumn("s", sql`species[]`).execute();
    const { rows } = await sql<{ s: string }>`select '{cat}'::species[] as s`.execute(db);
    assertEquals(rows, [{ s: "{cat}" }]);
    const schemas = await db.introspection.getSchemas();
    assert(schemas.some(({ name }) => name === "extra"));
  },
};

const PLUGINS: Record<string, Case> = {
  "CamelCasePlugin": async (_, session) => {
    const db = kyselyOn<{ person: { id: number; firstName: string } }>(session, {
      plugins: [new CamelCasePlugin()],
    });
    const rows = await db.selectFrom("person").select("firstName").where("id", "=", 1).execute();
    assertEquals(rows, [{ firstName: "Jennifer" }]);
  },
  "CamelCasePlugin in a transaction and a stream": async (_, session) => {
    const db = kyselyOn<{ person: { id: number; firstName: string } }>(session, {
      plugins: [new CamelCasePlugin()],
    });
    const rows = await db.transaction().execute((trx) =>
      Array.fromAsync(trx.selectFrom("person").select("firstName").orderBy("id").stream(2))
    );
    assertEquals(rows.map(({ firstName }) => firstName), ["Jennifer", "Arnold", "Sylvester"]);
  },
  "ParseJSONResultsPlugin and DeduplicateJoinsPlugin": async (db) => {
    const rows = await db.withPlugin(new ParseJSONResultsPlugin())
      .withPlugin(new DeduplicateJoinsPlugin()).selectFrom("person").select("profile")
      .where("id", "=", 3).execute();
    assertEquals(rows, [{ profile: { city: "Rome" } }]);
  },
  "a plugin for empty lists": async (_, session) => {
    const { HandleEmptyInListsPlugin } = await import("kysely");
    const db = kyselyOn<DB>(session, {
      plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
    });
    assertEquals(await db.selectFrom("person").select("id").where("id", "in", []).execute(), []);
  },
  "log gets the queries and the errors": async (_, session) => {
    const logged: string[] = [];
    const db = kyselyOn<DB>(session, {
      log: (event) => void logged.push(`${event.level}: ${event.query.sql}`),
    });
    await db.selectFrom("pet").select("id").execute();
    await sql`select 1 / 0`.execute(db).catch(() => {});
    assertEquals(logged, ['query: select "id" from "pet"', "error: select 1 / 0"]);
  },
};

const ERRORS: Record<string, Case> = {
  "a server's error comes out as it is": async (db) => {
    const error = await assertRejects(
      () => db.insertInto("pet").values({ owner_id: 1, name: "Catto", species: "cat" }).execute(),
      ServerError,
    );
    assertEquals(error.sqlState, "23505");
  },
  "nothing runs after a failed statement": async (db) => {
    await assertRejects(() => sql`select 1 / 0`.execute(db), ServerError);
    await assertRejects(() => db.selectFrom("pet").selectAll().execute());
  },
  "a value that cannot be sent is refused, and the session goes on": async (db) => {
    const refused = () => db.selectFrom("pet").selectAll().where("name", "=", "a\0b").execute();
    await assertRejects(refused, TypeError, "NUL");
    assertEquals((await db.selectFrom("pet").selectAll().execute()).length, 3);
  },
};

const ALL = {
  select: SELECTS,
  write: WRITES,
  raw: RAW,
  stream: STREAMS,
  schema: SCHEMA,
  plugin: PLUGINS,
  error: ERRORS,
};

for (const [kind, cases] of Object.entries(ALL)) {
  for (const [name, test] of Object.entries(cases)) {
    Deno.test(`kysely, ${kind}: ${name}`, () =>
      database.withSession((session) => test(kyselyOn<DB>(session), session)));
  }
}
