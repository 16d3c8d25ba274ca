import { assertEquals } from "@std/assert";
import { systemClock } from "../../../src/db/time/clock.ts";

Deno.test("a time longer than the runtime's timers allow does not pass at once", async () => {
  let called = 0;
  const cancels = [Infinity, 30 * 86_400_000].map((timeMs) =>
    systemClock.after(timeMs, () => called++)
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  systemClock.after(20, resolve);
  await promise;
  for (const cancel of cancels) cancel();
  assertEquals(called, 0);
});
