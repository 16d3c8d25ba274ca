import { assertEquals, assertStrictEquals } from "@std/assert";
import { beginStatements } from "../../../src/db/session/begin.ts";
import { SESSION_DEFAULTS } from "../../support/test_pool.ts";

Deno.test("transactions that begin alike begin by the same statements", () => {
  assertStrictEquals(
    beginStatements(SESSION_DEFAULTS),
    beginStatements({ ...SESSION_DEFAULTS, locals: {} }),
  );
});

Deno.test("each setting makes a beginning of its own", () => {
  const others = [
    { isolation: "serializable" },
    { readOnly: true },
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

Deno.test("timeouts that changed places make another beginning", () => {
  const one = beginStatements({ ...SESSION_DEFAULTS, statementTimeoutMs: 1, lockTimeoutMs: 2 });
  const other = beginStatements({ ...SESSION_DEFAULTS, lockTimeoutMs: 1, statementTimeoutMs: 2 });
  assertEquals(one[1]!.values.slice(0, 4), ["statement_timeout", "1ms", "lock_timeout", "2ms"]);
  assertEquals(other[1]!.values.slice(0, 4), ["statement_timeout", "2ms", "lock_timeout", "1ms"]);
});
