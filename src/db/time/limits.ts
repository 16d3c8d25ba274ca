/** Checks of the limits that a caller gives as options: durations and counts. */

/** What a limit may be. */
export interface Range {
  readonly text: string;
  readonly has: (value: number) => boolean;
}

export const ABOVE_ZERO: Range = {
  text: "above 0 and finite",
  has: (value) => value > 0 && value < Infinity,
};

export const FROM_ZERO: Range = {
  text: "from 0 and finite",
  has: (value) => value >= 0 && value < Infinity,
};

export const FROM_ZERO_OR_INFINITE: Range = {
  text: "a number from 0",
  has: (value) => value >= 0,
};

export const ABOVE_ZERO_OR_NEVER: Range = {
  text: "above 0, or Infinity for never",
  has: (value) => value > 0,
};

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

/** A text in quotes: `20` from the environment would look like a number. */
function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
