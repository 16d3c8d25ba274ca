import { assertEquals } from "@std/assert";
import { duplicateKey } from "../../src/http/duplicate_key.ts";

Deno.test("duplicateKey() finds the first key that an object has twice", () => {
  assertEquals(duplicateKey('{"a":1,"b":2,"a":3}'), "a");
  assertEquals(duplicateKey('[{"x":{"a":1,"a":2}}]'), "a");
  assertEquals(duplicateKey('{"a":{"b":[1,{}]},"a":2}'), "a");
});

Deno.test("duplicateKey() compares keys after decoding their escapes", () => {
  assertEquals(duplicateKey('{"a":1,"\\u0061":2}'), "a");
  assertEquals(duplicateKey('{"a\\"" : 1, "a\\"":2}'), 'a"');
});

Deno.test("duplicateKey() distinguishes objects, and keys from values", () => {
  assertEquals(duplicateKey('{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}'), undefined);
  assertEquals(duplicateKey('{"a":"a","b":["b","b"],"c":"{\\"a\\":1,\\"a\\":2}"}'), undefined);
  assertEquals(duplicateKey('"a"'), undefined);
});
