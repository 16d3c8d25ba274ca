/**
 * What each unit's caller was told, to be held against what is in the database. One byte for each unit, so that a
 * long run's own book does not grow the heap that the run measures.
 */
export const TOLD = { nothing: 0, read: 1, written: 2, failed: 3, unknown: 4 } as const;
export type Told = keyof typeof TOLD;

/** How the database disagrees with what callers were told. */
export interface LedgerFaults {
  /** Told as written, and not there. */
  readonly lost: number;
  /** Told as failed, or never told as a write, and there. */
  readonly phantom: number;
  /** There more than once. */
  readonly twice: number;
  /** Whose caller was told nothing at all. */
  readonly untold: number;
}

export class Ledger {
  readonly #told: Uint8Array;

  constructor(units: number) {
    this.#told = new Uint8Array(units);
  }

  tell(unit: number, told: Told): void {
    this.#told[unit] = TOLD[told];
  }

  count(told: Told): number {
    return this.#told.reduce((sum, each) => sum + (each === TOLD[told] ? 1 : 0), 0);
  }

  /** `written`: the ids of all rows. */
  audit(written: Iterable<number>): LedgerFaults {
    const rows = new Uint8Array(this.#told.length);
    for (const unit of written) rows[unit] = Math.min(rows[unit]! + 1, 2);
    let [lost, phantom, twice] = [0, 0, 0];
    for (const [unit, told] of this.#told.entries()) {
      if (told === TOLD.written && rows[unit] === 0) lost++;
      if (told !== TOLD.written && told !== TOLD.unknown && rows[unit]! > 0) phantom++;
      if (rows[unit] === 2) twice++;
    }
    return { lost, phantom, twice, untold: this.count("nothing") };
  }
}
