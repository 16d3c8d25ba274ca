/** What every endurance scenario is to the command line. */
import type { Measure } from "./verdict.ts";

export interface Scenario<Options> {
  /** The flags that it takes. */
  readonly flags: readonly FlagName[];
  /** The options of the full run, changed by the flags. Throws `UsageError`. */
  options(flags: Flags): Options;
  /** `onProgress` gets lines to print during the run. */
  run(options: Options, onProgress: (line: string) => void): Promise<readonly Measure[]>;
}

/** The flags of all scenarios, each with the value that it takes. */
export const FLAGS = {
  sessions: "N",
  pairs: "N",
  minutes: "N",
  seed: "N",
  host: "NAME",
  cheat: "NAME",
  prepare: "MODE",
  only: "RUN",
} as const;

export type FlagName = keyof typeof FLAGS;

export class UsageError extends Error {}

/** The flags of a command line. */
export class Flags {
  readonly #values: Readonly<Partial<Record<FlagName, string>>>;

  constructor(values: Readonly<Partial<Record<FlagName, string>>>) {
    this.#values = values;
  }

  /** A whole number; without the flag, a random one. */
  seed(): number {
    const seed = Number(this.#values.seed ?? Math.floor(Math.random() * 2 ** 31));
    return Number.isSafeInteger(seed) ? seed : this.#refuse("seed", "a whole number");
  }

  /** A number above 0. */
  positive(name: FlagName, { otherwise, max }: { otherwise: number; max: number }): number {
    const value = Number(this.#values[name] ?? otherwise);
    const isTaken = value > 0 && value <= max;
    return isTaken ? value : this.#refuse(name, `above 0 and at most ${max}`);
  }

  text(name: FlagName): string | undefined {
    return this.#values[name];
  }

  oneOf<Value extends string>(name: FlagName, values: readonly Value[]): Value | undefined {
    const value = values.find((each) => each === this.#values[name]);
    if (this.#values[name] === undefined || value !== undefined) return value;
    return this.#refuse(name, values.join(" or "));
  }

  #refuse(name: FlagName, wanted: string): never {
    throw new UsageError(`Cannot use --${name} as it is not ${wanted}: ${this.#values[name]}`);
  }
}
