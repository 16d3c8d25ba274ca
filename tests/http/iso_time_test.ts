import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { isoTime } from "../../src/http/iso_time.ts";

Deno.test("a time is written as Date.toISOString writes it", () => {
  fc.assert(
    fc.property(fc.date({ noInvalidDate: true }), (time) => {
      assertEquals(isoTime(time), time.toISOString());
    }),
    { numRuns: 1_000 },
  );
  const edges = [
    "2026-11-28T00:00:00.000Z",
    "2024-02-29T23:59:59.999Z",
    "2026-01-01T09:05:07.010Z",
    "2026-01-01T09:05:07.100Z",
    "1000-01-01T00:00:00.001Z",
    "0999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999Z",
    "+010000-01-01T00:00:00.000Z",
    "-000001-01-01T00:00:00.000Z",
  ];
  for (const text of edges) assertEquals(isoTime(new Date(text)), text);
  assertThrows(() => isoTime(new Date(NaN)), RangeError);
});
