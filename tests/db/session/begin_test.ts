import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { assertSettings } from "../../../src/db/session/assert_settings.ts";
import { beginStatements } from "../../../src/db/session/begin.ts";
import { SESSION_DEFAULTS } from "../../support/test_pool.ts";

Deno.test("transactions with equal settings share the same statement objects", () => {
  assertStrictEquals(
    beginStatements(SESSION_DEFAULTS),
    beginStatements({ ...SESSION_DEFAULTS, locals: {} }),
  );
});

Deno.test("each setting changes the opening statements", () => {
  const others = [
    { isolation: "serializable" },
    { readOnly: true },
    { readOnly: false },
    { deferrable: true },
    { statementTimeoutMs: 1 },
    { lockTimeoutMs: 1 },
    { idleTransactionTimeoutMs: 1 },
    { transactionTimeoutMs: 1 },
    { locals: { "app.user": "Ann" } },
    { locals: { "app.user": "Bob" } },
  ] as const;
  const texts = [{}, ...others].map((other) =>
    JSON.stringify(beginStatements({ ...SESSION_DEFAULTS, ...other }))
  );
  assertEquals(new Set(texts).size, texts.length);
});

Deno.test("two timeouts with swapped values give different statements", () => {
  const one = beginStatements({ ...SESSION_DEFAULTS, statementTimeoutMs: 1, lockTimeoutMs: 2 });
  const other = beginStatements({ ...SESSION_DEFAULTS, lockTimeoutMs: 1, statementTimeoutMs: 2 });
  assertEquals(one[1]!.values.slice(0, 4), ["statement_timeout", "1ms", "lock_timeout", "2ms"]);
  assertEquals(other[1]!.values.slice(0, 4), ["statement_timeout", "2ms", "lock_timeout", "1ms"]);
});

Deno.test("a text that is no isolation level is refused, and not said in BEGIN", () => {
  assertSettings({ ...SESSION_DEFAULTS, isolation: "serializable" });
  const isolation = "serializable, read only" as "serializable";
  assertThrows(
    () => assertSettings({ ...SESSION_DEFAULTS, isolation }),
    TypeError,
    'current value is "serializable, read only"; choose one of read committed, repeatable read, serializable',
  );
});
