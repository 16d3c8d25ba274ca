import { assertEquals } from "@std/assert";
import { BoundedMap } from "../src/bounded_map.ts";

Deno.test("a bounded map drops the entry that was set longest ago, and only for a further one", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1).set("b", 2);
  map.set("a", 3);
  assertEquals([...map], [["b", 2], ["a", 3]]);
  map.set("c", 4);
  assertEquals([...map], [["a", 3], ["c", 4]]);
});
