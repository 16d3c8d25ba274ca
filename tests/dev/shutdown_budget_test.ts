import { assert, assertEquals } from "@std/assert";
import { shutdownBudget } from "../../src/dev/shutdown_budget.ts";

Deno.test("shutdownBudget() leaves the relay and PostgreSQL a second, or half of a short timeout", () => {
  assertEquals(shutdownBudget("60"), { totalMs: 60_000, serviceMs: 59_000, graceMs: 1_200 });
  assertEquals(shutdownBudget("3"), { totalMs: 3_000, serviceMs: 2_000, graceMs: 60 });
  assertEquals(shutdownBudget("1"), { totalMs: 1_000, serviceMs: 500, graceMs: 20 });
});

Deno.test("shutdownBudget() uses 5 s for a missing or invalid SHUTDOWN_TIMEOUT", () => {
  for (const timeout of [undefined, "", "soon", "-1", "3601"]) {
    assertEquals(shutdownBudget(timeout).totalMs, 5_000, timeout);
  }
});

Deno.test("the service is killed, if need be, before SHUTDOWN_TIMEOUT has passed", () => {
  // From 50 s on, the grace of a fiftieth takes up the whole second that is left.
  for (let seconds = 1; seconds < 50; seconds++) {
    const { totalMs, serviceMs, graceMs } = shutdownBudget(`${seconds}`);
    assert(serviceMs + graceMs < totalMs, `${seconds} s`);
  }
});
