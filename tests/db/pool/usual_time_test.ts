import { assert, assertEquals } from "@std/assert";
import { UsualTime } from "../../../src/db/pool/usual_time.ts";

function longestAfter(times: number, msOf: (n: number) => number): number {
  const usual = new UsualTime();
  for (let n = 0; n < times; n++) usual.note(msOf(n));
  return usual.longestMs;
}

Deno.test("nothing is usual before the first time", () => {
  assertEquals(new UsualTime().longestMs, 0);
});

Deno.test("where all take the same time, hardly more is usual", () => {
  const longestMs = longestAfter(1_000, () => 10);
  assert(longestMs >= 10 && longestMs < 11, `${longestMs}`);
});

Deno.test("where times scatter, the longest of them is usual", () => {
  const longestMs = longestAfter(1_000, (n) => n % 4 === 0 ? 50 : 2);
  assert(longestMs > 50 && longestMs < 150, `${longestMs}`);
});

Deno.test("a single long time is soon forgotten", () => {
  const after = (quick: number) => longestAfter(1_000 + quick, (n) => n === 999 ? 250 : 1);
  assert(after(0) > 25, `${after(0)}`);
  assert(after(50) < 25, `${after(50)}`);
});
