/** Checks of the limits that a caller gives as options: durations and counts. */

import { LONGEST_MS } from "./clock.ts";

/** What a limit may be. */
export interface Range {
  readonly text: string;
  readonly has: (value: number) => boolean;
}

/** A time that the runtime's timers hold. */
export const TIMER: Range = {
  text: `above 0 and at most ${LONGEST_MS}`,
  has: (value) => value > 0 && value <= LONGEST_MS,
};

export const FINITE_OR_NEVER: Range = {
  text: "a finite number from 0, where 0 is never",
  has: (value) => value >= 0 && value < Infinity,
};

export const ABOVE_ZERO: Range = {
  text: "above 0, where Infinity is never",
  has: (value) => value > 0,
};

/** `zero` is what 0 means. */
export const fromZero = (zero: string): Range => ({
  text: `a number from 0, where 0 is ${zero}`,
  has: (value) => value >= 0,
});

export const wholeFrom = (min: number): Range => ({
  text: `a whole number from ${min}`,
  has: (value) => Number.isSafeInteger(value) && value >= min,
});

/** Throws `RangeError` for the first of the options that is not a number in its range. */
export function assertLimits<Options extends object>(
  action: string,
  options: Options,
  ranges: { readonly [Name in keyof Options]?: Range },
): void {
  for (const name in ranges) {
    const value: unknown = options[name];
    const range = ranges[name]!;
    if (typeof value === "number" && range.has(value)) continue;
    throw new RangeError(
      `Cannot ${action} as '${name}' must be ${range.text}: current value is ${shown(value)}`,
    );
  }
}

/** A value of an option, for an error: a text in quotes, as `20` from the environment would look like a number. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  const isPlain = value === null || ["number", "boolean", "undefined"].includes(typeof value);
  return isPlain ? String(value) : `of type ${typeof value}`;
}
