/** How a verdict is shown to be able to fail. */
import { assertEquals } from "@std/assert";
import { type Measure, violationsOf } from "./verdict.ts";

/** A good result has no violation, and with each change exactly the one beside it. */
export function verdictTest<Result>(
  scenario: string,
  { reportOf, good, violations }: {
    reportOf: (result: Result) => readonly Measure[];
    good: Result;
    violations: readonly (readonly [change: Partial<Result>, violation: string])[];
  },
): void {
  Deno.test(`${scenario}: the verdict has no violation for a good run, and one for each fault`, () => {
    assertEquals(violationsOf(reportOf(good)), []);
    for (const [change, violation] of violations) {
      assertEquals(violationsOf(reportOf({ ...good, ...change })), [violation]);
    }
  });
}

export const disagreements = { lost: 0, twice: 0, phantom: 0, unended: 0 };

export const disagreed = [
  [{ lost: 1 }, "units reported as done, without a row: 1, expected 0"],
  [{ twice: 2 }, "units with more than one row: 2, expected 0"],
  [{ phantom: 3 }, "units with a row, not reported as done: 3, expected 0"],
  [{ unended: 4 }, "units that never ended: 4, expected 0"],
].map(([change, violation]) =>
  [{ disagreements: { ...disagreements, ...change as object } }, violation as string] as const
);
