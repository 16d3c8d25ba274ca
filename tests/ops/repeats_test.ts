import { assertEquals } from "@std/assert";
import type { LogFields } from "../../src/ops/log.ts";
import { createLog } from "../../src/ops/log.ts";
import { summarised, WINDOW_MS } from "../../src/ops/repeats.ts";
import { ManualClock } from "../support/manual_clock.ts";

function recording() {
  const lines: Record<string, unknown>[] = [];
  const clock = new ManualClock();
  const log = createLog("info", { write: (line) => lines.push(JSON.parse(line)) });
  return { lines, clock, ...summarised(log, { clock }) };
}

const refusal = (id: number, more: LogFields = {}) => ({
  status: 503,
  route: "/users",
  reason: `Cannot wait as ${id} callers wait`,
  requestId: `${id}`,
  ...more,
});

Deno.test("of an attack's warnings the first five are written, then one summary per window with the count", async () => {
  const { lines, clock, log } = recording();
  for (let index = 0; index < 20_000; index++) log.warn("request refused", refusal(index));
  assertEquals(lines.map(({ requestId }) => requestId), ["0", "1", "2", "3", "4"]);
  await clock.advance(WINDOW_MS);
  assertEquals(lines.length, 6);
  const { event, requestId, repeated, withinMs } = lines[5]!;
  assertEquals(
    { event, requestId, repeated, withinMs },
    { event: "request refused", requestId: "19999", repeated: 19_995, withinMs: WINDOW_MS },
  );
  for (let index = 0; index < 1_000; index++) log.warn("request refused", refusal(index));
  assertEquals(lines.length, 6, "an attack that goes on gets summaries only");
  await clock.advance(WINDOW_MS);
  assertEquals(lines.map((line) => line["repeated"]).slice(6), [1_000]);
});

Deno.test("after a window without a repetition a kind is written at once again, and no timer is left", async () => {
  const { lines, clock, log } = recording();
  for (let index = 0; index < 6; index++) log.error("request failed", refusal(index));
  await clock.advance(WINDOW_MS);
  await clock.advance(WINDOW_MS);
  assertEquals([lines.length, clock.pending], [6, 0]);
  log.error("request failed", refusal(7));
  assertEquals(lines.at(-1)?.["requestId"], "7");
});

Deno.test("kinds differ by level, event, status, route, error and reason, and do not hide one another", () => {
  const { lines, log } = recording();
  for (let index = 0; index < 100; index++) log.warn("request refused", refusal(index));
  const before = lines.length;
  log.error("request refused", refusal(1));
  log.warn("something else", refusal(1));
  log.warn("request refused", refusal(1, { status: 504 }));
  log.warn("request refused", refusal(1, { route: "/users/:id" }));
  log.warn("request refused", refusal(1, { error: new TypeError("x") }));
  log.warn("request refused", refusal(1, { reason: "another" }));
  assertEquals(lines.length, before + 6);
});

Deno.test("an attacker who varies the reason gets no more than a bounded number of lines", async () => {
  const { lines, clock, log } = recording();
  const word = (index: number) => String.fromCharCode(97 + index % 26, 97 + Math.floor(index / 26));
  for (let index = 0; index < 600; index++) {
    for (let turn = 0; turn < 10; turn++) log.warn("x", { reason: word(index) });
  }
  await clock.advance(WINDOW_MS);
  assertEquals(lines.length, 101 * 6);
  const repeated = lines.reduce((sum, line) => sum + Number(line["repeated"] ?? 0), 0);
  assertEquals(repeated + 101 * 5, 6_000, "each line is written or counted");
});

Deno.test("flush() writes what was counted; lines below a warning pass through", () => {
  const { lines, clock, log, flush } = recording();
  for (let index = 0; index < 8; index++) log.warn("x");
  for (let index = 0; index < 8; index++) log.info("y");
  flush();
  assertEquals(lines.length, 5 + 8 + 1);
  assertEquals([lines.at(-1)?.["repeated"], clock.pending], [3, 0]);
  flush();
  assertEquals(lines.length, 14);
});
