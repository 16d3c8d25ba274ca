/** What the caller of each unit was told, to be compared with the rows that the database holds after the run. */
import { type Measure, zero } from "./verdict.ts";

/**
 * `done` demands a row; `read` and `failed` forbid one. The others leave it open: `unknown` is a
 * `CommitOutcomeUnknownError`; of `abandoned` the client went away; `unanswered` is a request that ended without the
 * app's answer; `hung` is one that did not end in time.
 */
export const OUTCOMES = [
  "read",
  "done",
  "failed",
  "unknown",
  "abandoned",
  "unanswered",
  "hung",
] as const;

export type Outcome = typeof OUTCOMES[number];

const FORBID_A_ROW: readonly (Outcome | undefined)[] = ["read", "failed", undefined];

/** How many units the database and their callers disagree on. */
export interface Disagreements {
  /** Reported as done, without a row. */
  readonly lost: number;
  /** With more than one row. */
  readonly twice: number;
  /** With a row, although they failed, only read, or did not end. */
  readonly phantom: number;
  /** Begun, and without any outcome. */
  readonly unended: number;
}

export class OutcomeLog {
  /** One byte for each unit, so that a long run's log does not grow the heap that the run measures. */
  #outcomes: Uint8Array;
  #begun = 0;

  /** `capacity`: the number of units, where it is known. */
  constructor(capacity = 1_024) {
    this.#outcomes = new Uint8Array(capacity);
  }

  get begun(): number {
    return this.#begun;
  }

  /** Gives the number of a new unit, counted from 0. */
  begin(): number {
    if (this.#begun === this.#outcomes.length) {
      const grown = new Uint8Array(2 * this.#begun);
      grown.set(this.#outcomes);
      this.#outcomes = grown;
    }
    return this.#begun++;
  }

  record(unit: number, outcome: Outcome): void {
    this.#outcomes[unit] = 1 + OUTCOMES.indexOf(outcome);
  }

  count(outcome: Outcome | undefined): number {
    const code = outcome === undefined ? 0 : 1 + OUTCOMES.indexOf(outcome);
    const begun = this.#outcomes.subarray(0, this.#begun);
    return begun.reduce((sum, each) => sum + Number(each === code), 0);
  }

  counts(): Record<Outcome, number> {
    const counts = OUTCOMES.map((outcome) => [outcome, this.count(outcome)] as const);
    return Object.fromEntries(counts) as Record<Outcome, number>;
  }

  /** `rows`: the units of all rows. */
  audit(rows: Iterable<number>): Disagreements {
    const times = new Map<number, number>();
    for (const unit of rows) times.set(unit, (times.get(unit) ?? 0) + 1);
    const units = [...times.keys()];
    const doneWithRow = units.filter((unit) => this.#outcomeOf(unit) === "done");
    return {
      lost: this.count("done") - doneWithRow.length,
      twice: units.filter((unit) => times.get(unit)! > 1).length,
      phantom: units.filter((unit) => FORBID_A_ROW.includes(this.#outcomeOf(unit))).length,
      unended: this.count(undefined),
    };
  }

  #outcomeOf(unit: number): Outcome | undefined {
    return OUTCOMES[(this.#outcomes[unit] ?? 0) - 1];
  }
}

export function agreementMeasures({ lost, twice, phantom, unended }: Disagreements): Measure[] {
  return [
    ["units reported as done, without a row", lost, zero],
    ["units with more than one row", twice, zero],
    ["units with a row, not reported as done", phantom, zero],
    ["units that never ended", unended, zero],
  ];
}
