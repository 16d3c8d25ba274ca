import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { oncePerProcess } from "../../../src/library/testing/once_per_process.ts";
import { makeScratch } from "../../dev/scratch.ts";

Deno.test("a value is made once for concurrent callers, and again after a failure", async () => {
  await using scratch = await makeScratch();
  const place = { directory: scratch.path, name: "value" };
  await assertRejects(() => oncePerProcess(place, () => Promise.reject(new Error("mine"))));
  let made = 0;
  const make = () => Promise.resolve({ made: ++made });
  const values = await Promise.all([1, 2, 3].map(() => oncePerProcess(place, make)));
  assertEquals(values, [{ made: 1 }, { made: 1 }, { made: 1 }]);
});

Deno.test("what another process with the same id has left is not used", async () => {
  await using scratch = await makeScratch();
  const place = { directory: scratch.path, name: "value" };
  const file = join(scratch.path, `value-${Deno.pid}.json`);
  await Deno.writeTextFile(file, JSON.stringify({ owner: "an earlier one", value: "stale" }));
  assertEquals(await oncePerProcess(place, () => Promise.resolve("new")), "new");
  await Deno.writeTextFile(file, '{"owner":');
  assertEquals(await oncePerProcess(place, () => Promise.resolve("newer")), "newer");
});
