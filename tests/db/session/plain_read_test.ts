/** Which statements may run on a connection that other readers use at the same time. */
import { assert } from "@std/assert";
import { trustedSql } from "../../../src/db/mod.ts";
import { isPlainRead } from "../../../src/db/session/transaction_control.ts";

const LEAVES_SETTING: readonly string[] = [
  `select set_config('app.tenant', 'Ann', false)`,
  `select set_config('app.tenant', 'Ann', $1)`,
  `select "set_config"('app.tenant', 'Ann', false)`,
  `select pg_catalog."set_config" ('app.tenant', 'Ann', false)`,
  `select set_config/**/('app.tenant', 'Ann', false)`,
  `select set_config('app.tenant', 'Ann, true)', false)`,
  `select set_config('app.tenant', $$Ann, true)$$, false)`,
  `select set_config('app.tenant', e'\\', true)', false)`,
  `select set_config('app.tenant', 'Ann', false /* , true) */)`,
  `select set_config('app.tenant', 'Ann', -- , true)\nfalse)`,
  `select set_config('a.b', '', true), set_config('a.b', '', false)`,
];

const PLAIN: readonly string[] = [
  `select set_config('app.tenant', 'Ann', true)`,
  `select set_config ( 'app.tenant' , $1::text , TRUE )`,
  `select set_config('a.b', 'a (b) $ - /', true), pg_catalog.set_config('a.b', '', true)`,
  `select pg_advisory_xact_lock(7)`,
];

Deno.test("a read that may set something for the session is not shared, however it is written", () => {
  for (const text of LEAVES_SETTING) assert(!isPlainRead(trustedSql(text)), text);
});

Deno.test("a read whose settings end with its transaction is shared", () => {
  for (const text of PLAIN) assert(isPlainRead(trustedSql(text)), text);
});
