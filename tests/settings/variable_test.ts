/** The bounds of what a variable of the environment may hold. */
import { assert, assertEquals } from "@std/assert";
import * as v from "valibot";
import { variables } from "../../src/settings/schema.ts";
import { seconds, secondsOrNever, secretToken, wholeNumber } from "../../src/settings/variable.ts";

/** The value that the schema makes of the text, or undefined if it refuses it. */
function valueOf<T>(schema: v.GenericSchema<unknown, T>, text: string): T | undefined {
  const { success, output } = v.safeParse(schema, text);
  return success ? output : undefined;
}

const SCHEMAS = [
  ["seconds()", seconds({ min: 0, max: 1_000_000_000 })],
  ["secondsOrNever()", secondsOrNever({ min: 0, max: 1_000_000_000 })],
] as const;

for (const [name, schema] of SCHEMAS) {
  Deno.test(`${name} takes up to three decimals, exactly, and no fourth one`, () => {
    const texts = ["0", "0.0", "0.1", "0.12", "0.123", "1.005", "2.001", "8.041", "123456789.999"];
    assertEquals(texts.map((text) => valueOf(schema, text)), [
      ...[0, 0, 100, 120, 123, 1_005, 2_001, 8_041, 123_456_789_999],
    ]);
    // All of these are within the bounds: only their form is wrong.
    for (const text of ["0.0004", "1.0005", "1.0000", "2.12345", "1.", ".5", "01", "1234567890"]) {
      assertEquals(valueOf(schema, text), undefined, text);
    }
  });

  Deno.test(`${name} takes its bounds, and nothing beyond`, () => {
    const bounded = (name === "seconds()" ? seconds : secondsOrNever)({ min: 0.5, max: 1.5 });
    const texts = ["0.499", "0.5", "1.5", "1.501"];
    assertEquals(texts.map((text) => valueOf(bounded, text)), [undefined, 500, 1_500, undefined]);
  });
}

Deno.test("only secondsOrNever() takes -1, as no end, and no other negative number", () => {
  const [[, plain], [, orNever]] = SCHEMAS;
  assertEquals([valueOf(plain, "-1"), valueOf(orNever, "-1")], [undefined, Infinity]);
  for (const text of ["-1.0", "-2", "-0", "-0.5"]) assertEquals(valueOf(orNever, text), undefined);
});

Deno.test("wholeNumber() takes its bounds, and nothing beyond", () => {
  const schema = wholeNumber({ min: 2, max: 4 });
  const texts = ["1", "2", "3", "4", "5", "02", "3.0"];
  const expected = [undefined, 2, 3, 4, undefined, undefined, undefined];
  assertEquals(texts.map((text) => valueOf(schema, text)), expected);
  assertEquals(valueOf(wholeNumber({ min: 0, max: 10 ** 10 }), "999999999"), 999_999_999);
  assertEquals(valueOf(wholeNumber({ min: 0, max: 10 ** 10 }), "1000000000"), undefined);
});

Deno.test("secretToken() takes a token of the shortest length, and none that is one character shorter", () => {
  const schema = secretToken({ minLength: 4 });
  assertEquals(["abc", "abcd", "ab==", "a=b=", "ab d"].map((text) => valueOf(schema, text)), [
    ...[undefined, "abcd", "ab==", undefined, undefined],
  ]);
});

Deno.test("each kind of variable gives one problem for one value", () => {
  const values = ["", "x y", "-2", "3.00000", "\0", "postgres://a@b@c:0/d/e?f#g", 7, null, {}, []];
  for (const [name, schema] of Object.entries(variables.entries)) {
    // Any text may be an audience.
    if (name === "AUTH_AUDIENCE") continue;
    for (const value of values) {
      const { issues } = v.safeParse(schema, value);
      assert(issues?.length === 1, `${name} ${JSON.stringify(issues)}`);
    }
  }
});
