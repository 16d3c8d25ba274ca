/** Columns with the names of properties that objects have: values of the row, and nothing else. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { sql } from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

/** Workers and Node have this accessor, Deno has removed it. */
function withProtoAccessor(): Disposable {
  Object.defineProperty(Object.prototype, "__proto__", {
    configurable: true,
    get() {
      return Object.getPrototypeOf(this);
    },
    set(prototype) {
      if (typeof prototype === "object") Object.setPrototypeOf(this, prototype);
    },
  });
  return {
    [Symbol.dispose]() {
      Reflect.deleteProperty(Object.prototype, "__proto__");
    },
  };
}

Deno.test("a column of a special name is an own property of its row, and never the row's prototype", async () => {
  await using branch = await database.connect();
  using _accessor = withProtoAccessor();
  const [[row]] = await branch.open().transaction((session) =>
    session.commit([sql`
      select '{"polluted": true}'::jsonb as "__proto__", 1 as constructor, 2 as "toString",
        3 as "hasOwnProperty", 4 as valueof`]), { readOnly: true });
  assertStrictEquals(Object.getPrototypeOf(row), Object.prototype);
  assertEquals(Object.entries(row!), [
    ["__proto__", { polluted: true }],
    ["constructor", 1],
    ["toString", 2],
    ["hasOwnProperty", 3],
    ["valueof", 4],
  ]);
  assertEquals(Reflect.has(row as object, "polluted"), false);
});
