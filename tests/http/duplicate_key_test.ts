import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { duplicateKey as duplicateKeyOf } from "../../src/http/duplicate_key.ts";

const duplicateKey = (json: string) => duplicateKeyOf(json, JSON.parse(json));

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

Deno.test("duplicateKey() finds none in what JSON.stringify writes, and the one that is added to it", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.string(), (value, key) => {
    const json = JSON.stringify(value);
    assertEquals(duplicateKey(json), undefined);
    const name = JSON.stringify(key);
    const twice = `[${json}, {${name}: ${json}, "other${key.length}": 1, ${name} : null}]`;
    assertEquals(duplicateKey(twice), key);
  }));
});

Deno.test("duplicateKey() reads keys that objects treat as special, and any depth", () => {
  assertEquals(duplicateKey('{"__proto__":{"a":1},"constructor":2,"0":3}'), undefined);
  assertEquals(duplicateKey('{"__proto__":1,"__proto__":2}'), "__proto__");
  const deep = (inner: string) => `${'{"a":['.repeat(5_000)}${inner}${"]}".repeat(5_000)}`;
  assertEquals(duplicateKey(deep("1")), undefined);
  assertEquals(duplicateKey(deep('{"b":1,"b":1}')), "b");
});
