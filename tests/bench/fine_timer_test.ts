import { assert, assertEquals } from "@std/assert";
import { FineTimer } from "./fine_timer.ts";

Deno.test("alarms ring in the order in which they are due, none before its time", async () => {
  using timer = await FineTimer.start();
  const rung: number[] = [];
  const startedAt = performance.now();
  // The later ones are set while the thread sleeps for another alarm, and some are due at once.
  const delaysMs = [60, 20, 30, 0, 45, -10, 20, 75, 10];
  await Promise.all(
    delaysMs.map((delayMs, k) =>
      new Promise<void>((resolve) =>
        timer.after(delayMs, () => {
          assert(performance.now() - startedAt >= delayMs);
          rung.push(k);
          resolve();
        })
      )
    ),
  );
  assertEquals(rung, [5, 3, 8, 1, 6, 2, 4, 0, 7]);
});

Deno.test("an alarm that is set by another one rings too", async () => {
  using timer = await FineTimer.start();
  await new Promise<void>((resolve) => timer.after(1, () => timer.after(0, resolve)));
  await new Promise<void>((resolve) => timer.after(3, resolve));
});
