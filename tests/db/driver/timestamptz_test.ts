/** Times without a server: that a server sends them so, `types_test.ts` shows. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parserOf } from "../../../src/db/driver/result_types.ts";

const parse = parserOf(1184);

Deno.test("a time in UTC is read to the millisecond, with any number of digits of its second", () => {
  const times = fc.date({
    min: new Date("0001-01-01T00:00:00.000Z"),
    max: new Date("9999-12-31T23:59:59.999Z"),
    noInvalidDate: true,
  });
  fc.assert(
    fc.property(times, fc.integer({ min: 0, max: 999 }), (time, microseconds) => {
      const [date, clock = ""] = time.toISOString().slice(0, -1).split("T");
      const digits = `${date} ${clock}${String(microseconds).padStart(3, "0")}`;
      assertEquals(parse(`${digits}+00`), time);
      // As the server sends it: without zeros at its end.
      assertEquals(parse(`${digits.replace(/\.?0+$/, "")}+00`), time);
    }),
    { numRuns: 1_000 },
  );
});
