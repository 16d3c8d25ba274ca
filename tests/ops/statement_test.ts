import { assertEquals } from "@std/assert";
import { sanitised } from "../../src/ops/statement.ts";

const CASES: readonly [given: string, shown: string][] = [
  ["select $1, $12", "select $1, $12"],
  ["select 'a''b', e'c\\'d' from t1", "select ?, ? from t1"],
  ['select 1, -2.5, 1e9, x2, "col 3"', 'select ?, -?, ?, x2, "col 3"'],
  ["select $$a secret$$, $q$another$q$", "select ?, ?"],
  ["select  a,\n  b", "select a, b"],
];

for (const [given, shown] of CASES) {
  Deno.test(`a statement is shown without its values: ${JSON.stringify(given)}`, () => {
    assertEquals(sanitised(given), shown);
  });
}

Deno.test("a long statement is truncated", () => {
  assertEquals(sanitised(`select ${"a".repeat(1_000)}`).length, 301);
});
