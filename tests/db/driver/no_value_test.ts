/** What is no value is refused before it is sent, and never sent as `{}`. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { sql } from "../../../src/db/mod.ts";
import { encodeParameters } from "../../../src/db/driver/parameters.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

class Point {
  x = 1;
}

class Nameless {}
Object.defineProperty(Nameless, "name", { value: { toString: () => "secret" } });

const NO_VALUES: readonly [value: object, kind: string][] = [
  [Promise.resolve(1), "Promise"],
  [new (class Later extends Promise<number> {})((resolve) => resolve(1)), "Promise"],
  [new Map([["a", 1]]), "Map"],
  [new Set([1]), "Set"],
  [new WeakMap(), "WeakMap"],
  [sql`select 1`, "Sql"],
  [Object("text"), "String"],
  [Object(1), "Number"],
  [Object(true), "Boolean"],
  [Object(1n), "BigInt"],
  [new Point(), "Point"],
  [/a/, "RegExp"],
  [new Error("secret"), "Error"],
  [[1].values(), "Array Iterator"],
  [(function* () {})(), "Generator"],
  [(async function* () {})(), "AsyncGenerator"],
  [{ then: () => {} }, "Promise"],
  [{ then: () => {}, toJSON: () => ({}) }, "Promise"],
  [new (class constructor {})(), "constructor"],
  [new Nameless(), "object"],
];

for (const [value, kind] of NO_VALUES) {
  for (
    const [where, parameter] of [
      ["alone", value],
      ["in an array", [value]],
      ["in an object", { a: 1, b: value }],
      ["deep in objects and arrays", [{
        a: [{ b: Object.assign(Object.create(null), { value }) }],
      }]],
    ] as const
  ) {
    Deno.test(`a ${kind} ${where} is refused as a parameter, with its position and its kind`, () => {
      const error = assertThrows(() => encodeParameters([1, parameter]), TypeError);
      assert(error.message.startsWith("Cannot send parameter $2 as"), error.message);
      assert(error.message.includes(`current type is ${kind};`), error.message);
      assert(!error.message.includes("native code"), error.message);
      assert(!error.message.includes("secret"));
    });
  }
}

for (const [value, kind] of NO_VALUES) {
  for (
    const [where, inner] of [
      ["alone", value],
      ["in nested arrays", [[value]]],
      ["in an object in an array", [{ a: value }]],
    ] as const
  ) {
    Deno.test(`a ${kind} ${where} is refused by sql.json()`, () => {
      const error = assertThrows(() => sql.json(inner), TypeError, `current type is ${kind};`);
      assert(!error.message.includes("secret"));
    });
  }
}

Deno.test("a hole in an array is refused as undefined is", () => {
  const holed = new Array(2);
  assertThrows(() => encodeParameters([holed]), TypeError, "current type is undefined;");
});

Deno.test("a toJSON that returns nothing is refused, and does not become NULL", () => {
  assertThrows(() => encodeParameters([{ toJSON() {} }]), TypeError, "Cannot send parameter $1 as");
});

Deno.test("sql.json() inside an object, an array or sql.json() keeps its value", () => {
  const inner = sql.json([1]);
  assertEquals(encodeParameters([{ a: inner }, sql.json(inner), sql.json([inner]), [inner]]), [
    '{"a":[1]}',
    "[1]",
    "[[1]]",
    '{"[1]"}',
  ]);
});

Deno.test("bytes in an object are refused, and do not become an object of numbers", () => {
  for (const bytes of [new Uint8Array(2), new ArrayBuffer(2), new DataView(new ArrayBuffer(2))]) {
    for (const send of [() => encodeParameters([{ bytes }]), () => sql.json([bytes])]) {
      assertThrows(send, TypeError, `current type is ${bytes.constructor.name};`);
    }
  }
});

Deno.test("a bigint in an object or array that is sent as JSON is refused with a way out", () => {
  const row = { count: 7n };
  for (const send of [() => encodeParameters([row]), () => sql.json([row]), () => sql.json(7n)]) {
    assertThrows(send, TypeError, "current type is bigint; pass Number(value) or String(value)");
  }
  assertThrows(() => encodeParameters([1, row]), TypeError, "Cannot send parameter $2 as");
  assertEquals(encodeParameters([[7n]]), ['{"7"}']);
});

Deno.test("an array or object that contains itself is refused", () => {
  const object: Record<string, unknown> = {};
  object.self = [object];
  assertThrows(() => sql.json(object), TypeError);
  assertThrows(() => encodeParameters([object]), TypeError);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  assertThrows(() => sql.json(cycle), TypeError);
  assertThrows(() => encodeParameters([cycle]), TypeError, "Cannot send parameter $1 as");
});

Deno.test("a function and a symbol are refused with a way out of their own", () => {
  assertThrows(() => encodeParameters([() => 1]), TypeError, "current type is function; call it");
  assertThrows(() => encodeParameters([Symbol("s")]), TypeError, "current type is symbol; pass");
});

Deno.test("plain objects, those without a prototype and those with toJSON are sent as JSON", () => {
  const bare = Object.assign(Object.create(null), { a: 1 });
  const own = new (class {
    toJSON() {
      return { b: 2 };
    }
  })();
  const shared = { c: [null, "text", new Date(0), own, undefined, 0.5] };
  assertEquals(encodeParameters([{ a: 1 }, bare, own, {}, { x: shared, y: [shared, bare] }]), [
    '{"a":1}',
    '{"a":1}',
    '{"b":2}',
    "{}",
    JSON.stringify({ x: shared, y: [shared, bare] }),
  ]);
});

Deno.test("sql.json() sends arrays, texts, numbers and null to jsonb columns, and refuses what has no JSON form", async () => {
  await using branch = await database.connect();
  const values = [[1, [2]], "text", 7, null, true, { a: [] }];
  const statements = values.map((value) =>
    sql<{ kept: unknown }>`select ${sql.json(value)}::jsonb as kept`
  );
  const results = await branch.open().transaction((session) => session.commit(statements), {
    readOnly: true,
  });
  assertEquals(results.map(([row]) => row!.kept), values);
  for (const value of [undefined, () => {}, Symbol("a")]) {
    assertThrows(() => sql.json(value), TypeError);
  }
});
