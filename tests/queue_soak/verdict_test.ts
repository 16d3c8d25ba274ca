/** A verdict that cannot be "guilty" is none. */
import { assertEquals } from "@std/assert";
import { FULL, type QueueSoakReport } from "./soak.ts";
import { faultsOf } from "./verdict.ts";

const GOOD: QueueSoakReport = {
  ...FULL,
  seed: 1,
  seconds: 60,
  events: 50_000,
  poison: 100,
  killed: 60,
  terminated: 600,
  waiting: 0,
  lost: 0,
  twice: 0,
  disordered: 0,
  wrongDead: 0,
  missingDead: 0,
};

const BAD: readonly (readonly [change: Partial<QueueSoakReport>, said: string])[] = [
  [{ killed: 0 }, "No process was killed: nothing was tried"],
  [{ terminated: 0 }, "No backend was terminated: nothing was tried"],
  [{ poison: 0 }, "There was no poison: nothing was tried"],
  [{ waiting: 1 }, "1 events were never delivered"],
  [{ lost: 2 }, "2 events never took effect"],
  [{ twice: 3 }, "3 effects were there more than once"],
  [{ disordered: 4 }, "4 effects came after a later one of their user"],
  [{ wrongDead: 5 }, "5 events are dead that are no poison"],
  [{ missingDead: 6 }, "6 poisoned events are not among the dead letters"],
];

Deno.test("faultsOf() finds nothing wrong with a run that is as it must be, and each fault in one that is not", () => {
  assertEquals(faultsOf(GOOD), []);
  for (const [change, said] of BAD) assertEquals(faultsOf({ ...GOOD, ...change }), [said]);
});
