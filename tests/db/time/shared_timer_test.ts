import { assertEquals } from "@std/assert";
import { SharedTimer } from "../../../src/db/time/shared_timer.ts";
import { ManualClock } from "../../support/manual_clock.ts";

function timers() {
  const clock = new ManualClock();
  const called: string[] = [];
  const timer = new SharedTimer(clock);
  const after = (timeMs: number, name: string) => timer.after(timeMs, () => called.push(name));
  return { clock, called, timer, after };
}

Deno.test("deadlines share one timer, and each is called back once, when it is due", async () => {
  const { clock, called, after } = timers();
  for (const timeMs of [30, 10, 20, 10]) after(timeMs, `${timeMs}`);
  assertEquals(clock.pending, 1);
  await clock.advance(9);
  assertEquals(called, []);
  await clock.advance(1);
  assertEquals(called, ["10", "10"]);
  await clock.advance(100);
  assertEquals([called, clock.pending], [["10", "10", "20", "30"], 0]);
});

Deno.test("a cancelled deadline is not called back, and the last one takes the timer with it", async () => {
  const { clock, called, after } = timers();
  const cancels = [after(10, "a"), after(20, "b")];
  cancels[0]!();
  assertEquals(clock.pending, 1);
  await clock.advance(15);
  assertEquals([called, clock.pending], [[], 1]);
  cancels[1]!();
  cancels[1]!();
  assertEquals(clock.pending, 0);
});

Deno.test("a timer that is kept runs on without a deadline, and serves the next one", async () => {
  const { clock, called, timer, after } = timers();
  timer.keep();
  after(10, "cancelled")();
  assertEquals(clock.pending, 1);
  await clock.advance(5);
  after(20, "later");
  assertEquals(clock.pending, 1);
  await clock.advance(19);
  assertEquals(called, []);
  await clock.advance(1);
  assertEquals([called, clock.pending], [["later"], 0]);
  after(10, "cancelled")();
  timer.letGo();
  assertEquals(clock.pending, 0);
});

Deno.test("a callback may cancel another deadline that is due with it, and add one", async () => {
  const { clock, called, timer, after } = timers();
  let cancel = () => {};
  timer.after(10, () => {
    cancel();
    after(0, "at once");
    after(5, "later");
  });
  cancel = after(10, "cancelled");
  await clock.advance(10);
  assertEquals(called, ["at once"]);
  await clock.advance(5);
  assertEquals([called, clock.pending], [["at once", "later"], 0]);
});

Deno.test("a deadline without a limit is never due and sets no timer", () => {
  const { clock, after } = timers();
  const cancel = after(Infinity, "never");
  assertEquals(clock.pending, 0);
  cancel();
});
