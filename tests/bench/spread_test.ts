import { assertEquals } from "@std/assert";
import { spreadOf } from "./spread.ts";

Deno.test("a spread goes from the smallest to the largest value, in any order of the values", () => {
  assertEquals(spreadOf([5, 1, 4, 2, 3]), { min: 1, p25: 2, median: 3, p75: 4, max: 5 });
});

Deno.test("a spread of an even number of values has its median between the middle ones", () => {
  assertEquals(spreadOf([1, 2, 4, 5]).median, 3);
});
