import type { OutageReport } from "./outage.ts";

/** Refusing is a matter of microseconds; this leaves room for a machine that does other things besides. */
export const REFUSAL_MS = 5;
export const RECOVERY_MS = 1_000;
/** A connect timeout of a second, and as much again. */
export const FIRST_REFUSAL_MS = 2_000;

/** What is wrong with the reports, a sentence each; nothing if they are as they must be. */
export function faultsOf(reports: readonly OutageReport[]): string[] {
  return reports.flatMap(({ way, firstRefusalMs = Infinity, refused, recoveryMs }) => {
    const rules: readonly (readonly [isBroken: boolean, what: string])[] = [
      [firstRefusalMs > FIRST_REFUSAL_MS, `the first refusal took ${firstRefusalMs.toFixed(0)} ms`],
      [refused.p99 >= REFUSAL_MS, `refusals took ${refused.p99.toFixed(1)} ms at p99`],
      [recoveryMs >= RECOVERY_MS, `nobody was served for ${recoveryMs.toFixed(0)} ms`],
    ];
    return rules.filter(([isBroken]) => isBroken).map(([, what]) => `${way}: ${what}`);
  });
}
