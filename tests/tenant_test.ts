import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { SessionOptions, TransactionRunner } from "../src/db/mod.ts";
import { asTenant, tenantLocals } from "../src/tenant.ts";

/** The locals that a session of the tenant's database gets if it asks for `locals`. */
function localsOf(tenant: string, locals?: SessionOptions["locals"]): SessionOptions["locals"] {
  let got: SessionOptions["locals"];
  const db = {
    session(options: SessionOptions) {
      got = options.locals;
    },
  } as unknown as TransactionRunner;
  asTenant(db, tenant).session({ locals });
  return got;
}

Deno.test("a unit of work is one of the tenant, whatever its own options say", () => {
  assertEquals(localsOf("a"), { "app.tenant": "a" });
  assertEquals(localsOf("a", { "app.tenant": "b" }), { "app.tenant": "a" });
  assertEquals(localsOf("a", { work_mem: "1MB" }), { work_mem: "1MB", "app.tenant": "a" });
  const ofOther = tenantLocals("b", { work_mem: "1MB" });
  assertEquals(localsOf("a", ofOther), { work_mem: "1MB", "app.tenant": "a" });
  const twice = { "app.tenant": "b", work_mem: "1MB", "APP.Tenant": "b" };
  for (const locals of [localsOf("a", twice), tenantLocals("a", twice)]) {
    assertEquals(locals, { work_mem: "1MB", "app.tenant": "a" });
  }
});

Deno.test("locals that were made for the tenant stay one object, for which what is sent is kept", () => {
  assertStrictEquals(localsOf("a"), localsOf("a"));
  const made = tenantLocals("a", { work_mem: "1MB", "app.tenant": "b" });
  assertEquals(made, { work_mem: "1MB", "app.tenant": "a" });
  assertStrictEquals(localsOf("a", made), made);
  assert(Object.isFrozen(localsOf("a")) && Object.isFrozen(made));
});
