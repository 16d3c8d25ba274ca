/** Mistakes of a caller: an error that says what was done and the way out, and a session that goes on. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { type Session, SessionEndedError, sql } from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

const IDS = [1, 2];
const NAMES = ["secret", "b"];

const ARRAYS_IN_LISTS = {
  "in (…) of numbers": sql`select n from generate_series(1, 3) n where n in (${IDS})`,
  "in (…) of texts, which would find nothing": sql`select 1 where 'b' in (${NAMES})`,
  "not in (…), which would find everything": sql`select 1 where 'b' not in ( ${NAMES} )`,
  "IN(…) beside other values": sql`select 1 where 'b' IN(${"a"}, 'c',${NAMES}, ${"d"})`,
  "in without parentheses": sql`select 1 where 'b' in ${NAMES}`,
  "in (…) with line breaks": sql`select 1 where 'b' in
    (
      ${NAMES}
    )`,
  "in (…) with an empty array": sql`select 1 where 'b' in (${[]})`,
  "in (…) with comments": sql`select 1 where 'b' in /* names */ ( -- all of them
    ${NAMES})`,
  "in (…) beside calls": sql`select 1 where 'b' in (lower(${"A"}), ${NAMES}, concat('c', 'd'))`,
  "in (…) of a nested sql": sql`select 1 where ${sql`'b' in (${NAMES})`}`,
};

for (const [what, statement] of Object.entries(ARRAYS_IN_LISTS)) {
  Deno.test(`an array is refused as an item of ${what}, with any() as the way out`, async () => {
    await using branch = await database.connect();
    await using session = branch.open().session({ readOnly: true });
    const error = await assertRejects(() => session.query(statement), TypeError, "= any(");
    assert(/^Cannot send parameter \$\d as it is an array/.test(error.message), error.message);
    assert(!error.message.includes("secret"));
    assertEquals(await session.query(sql`select 1 as one`), [{ one: 1 }]);
    await session.commit();
  });
}

Deno.test("arrays are sent where they are one value: any(), a cast, unnest(), and a list of other values", async () => {
  await using branch = await database.connect();
  const found = [{ found: true }];
  assertEquals(
    await branch.open().session({ readOnly: true }).commit([
      sql`select 2 = any(${IDS}) as found`,
      sql`select '{1,2}'::int[] in (${IDS}::int[], ${[3]}::int[]) as found`,
      sql`select 2 in (select unnest(${IDS}::int[])) as found`,
      sql`select 2 in (${1}, ${2}) and ${IDS}::int[] = '{1,2}' as found`,
      sql`select cardinality(array[${IDS}::int[]]) = 2 and 1 <> all(${[3]}) as found`,
      sql`select /* not in ($1) */ 'in ($1)' like 'in%' and 2 = any(${IDS}) as found`,
      sql`select 2 in (1, cardinality(${IDS}::int[]), array_length(${IDS}::int[], 1)) as found`,
      sql`select 2 in (select unnest(array_append(${IDS}::int[], 3))) as found`,
      sql`select 3 in (0, array_position(array[1, 2, 3], 3), coalesce(null, ${3}, 4)) as found`,
    ]),
    Array(9).fill(found),
  );
});

/** Calls that plain JavaScript can make. */
const NO_STATEMENTS: Record<string, [call: (session: Untyped) => unknown, kind: string]> = {
  'query("text")': [(session) => session.query("select 'secret'"), "string"],
  "query()": [(session) => session.query(), "undefined"],
  "query(null)": [(session) => session.query(null), "null"],
  "query([sql])": [(session) => session.query([sql`select 1`]), "Array"],
  "query(promise)": [(session) => session.query(Promise.resolve(sql`select 1`)), "Promise"],
  "query({ text })": [(session) => session.query({ text: "select 'secret'" }), "Object"],
  "query({ fetch })": [(session) => session.query({ fetch: { name: "c", maxRows: 1 } }), "Object"],
  'batch("text")': [(session) => session.batch("select 'secret'"), "string"],
  "batch(sql)": [(session) => session.batch(sql`select 1`), "Sql"],
  'batch(["text"])': [(session) => session.batch([sql`select 1`, "secret"]), "string"],
  "batch([,])": [(session) => session.batch(new Array(1)), "undefined"],
  'commit("text")': [(session) => session.commit("select 'secret'"), "string"],
  'commit("")': [(session) => session.commit(""), "string"],
  "commit(null)": [(session) => session.commit(null), "null"],
  "commit(sql)": [(session) => session.commit(sql`select 1`), "Sql"],
  'commit(["text"])': [(session) => session.commit(["secret"]), "string"],
  'stream("text")': [(session) => session.stream("select 'secret'").next(), "string"],
  "stream()": [(session) => session.stream().next(), "undefined"],
};

type Untyped = Record<
  "query" | "batch" | "commit" | "stream",
  (...values: unknown[]) => Promise<unknown> & AsyncGenerator
>;

for (const [what, [call, kind]] of Object.entries(NO_STATEMENTS)) {
  Deno.test(`${what} is refused with the kind of its argument and the way out, and the session goes on`, async () => {
    await using branch = await database.connect();
    const db = branch.open();
    await using session = db.session();
    for (const _ of ["as its first call", "as a later one"]) {
      const error = await assertRejects(async () => {
        await call(session as unknown as Untyped);
      }, TypeError);
      assert(error.message.startsWith("Cannot run the statement"), error.message);
      assert(error.message.includes(`current type is ${kind};`), error.message);
      assert(error.message.includes("sql`…`"), error.message);
      assert(!error.message.includes("secret"), error.message);
      assertEquals(session.isCommitted, false);
      assertEquals(await session.query(sql`select 1 as one`), [{ one: 1 }]);
    }
    await session.commit();
    assertEquals(db.stats().leased, 0);
  });
}

Deno.test("sql that is called as a function is refused, and names its template form", () => {
  const call = sql as unknown as (...values: unknown[]) => unknown;
  for (const values of [["select 'secret'"], [["select 'secret'"]], [], [["a", "b"], 1]]) {
    const error = assertThrows(() => call(...values), TypeError, "sql`…`");
    assert(!error.message.includes("secret"));
  }
});

Deno.test("a savepoint beside an open one is told that they cannot be side by side, and the first one is kept", async () => {
  await using branch = await database.connect();
  await using session = branch.open().session();
  const open = (word: string) =>
    session.savepoint((inner: Session) => inner.query(sql`select ${word} as word`));
  const [first, second] = await Promise.allSettled([open("one"), open("two")]);
  assertEquals(first, { status: "fulfilled", value: [{ word: "one" }] });
  assert(second.status === "rejected");
  assertInstanceOf(second.reason, SessionEndedError);
  assert(second.reason.message.startsWith("Cannot open the savepoint as another one is open"));
  assert(second.reason.message.includes("side by side"));
  assertEquals(await open("three"), [{ word: "three" }]);
  await session.commit();
});

Deno.test("a nested transaction is a unit of its own: it stays committed if the outer one is rolled back", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const insert = (email: string) =>
    sql`insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Ann')`;
  const failure = new Error("from the outer unit");
  const error = await assertRejects(() =>
    db.transaction(async (outer) => {
      await outer.query(insert("outer@example.org"));
      await db.transaction((inner) => inner.commit([insert("inner@example.org")]));
      throw failure;
    })
  );
  assertEquals(error, failure);
  const [rows] = await db.session({ readOnly: true }).commit([
    sql`select email from users where email in ('outer@example.org', 'inner@example.org')`,
  ]);
  assertEquals(rows, [{ email: "inner@example.org" }]);
});
