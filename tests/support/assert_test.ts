import { assertEquals, assertThrows } from "@std/assert";

Deno.test("a wrongly typed assertion does not compile", () => {
  // @ts-expect-error Without assert.d.ts every assertion is `any`, and this line has no error.
  assertThrows(() => assertEquals(1, "1"));
});
