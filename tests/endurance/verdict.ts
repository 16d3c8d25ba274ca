/** The verdict on a run: each measure that does not meet its expectation is a violation. */
export interface Expectation {
  readonly text: string;
  readonly holds: (value: number) => boolean;
}

/** One line of a report. */
export type Measure =
  | readonly [name: string, value: number | string, expected?: undefined]
  | readonly [name: string, value: number, expected: Expectation];

export const zero: Expectation = { text: "0", holds: (value) => value === 0 };

/** Of how often something was tried: a run that has not tried it shows nothing. */
export const atLeast = (least: number): Expectation => ({
  text: `at least ${shown(least)}`,
  holds: (value) => value >= least,
});

export const atMost = (most: number): Expectation => ({
  text: `at most ${shown(most)}`,
  holds: (value) => value <= most,
});

export const below = (bound: number): Expectation => ({
  text: `below ${shown(bound)}`,
  holds: (value) => value < bound,
});

export function violationsOf(report: readonly Measure[]): string[] {
  return report.flatMap(([name, value, expected]) =>
    expected === undefined || expected.holds(value)
      ? []
      : [`${name}: ${shown(value)}, expected ${expected.text}`]
  );
}

/** A number with at most two decimals; text as it is. */
export function shown(value: number | string): string {
  return typeof value === "string" ? value : `${Math.round(value * 100) / 100}`;
}
