import type { Sample } from "./snapshot.ts";

/** Between two samples. */
export const SAMPLE_EVERY_MS = 1_000;
/** Five minutes of them. */
const MOST = 300;

/** The last minutes' samples, so that a page that is opened in trouble shows how it began. */
export class History {
  readonly #samples: Sample[] = [];

  add(sample: Sample): void {
    this.#samples.push(sample);
    if (this.#samples.length > MOST) this.#samples.shift();
  }

  list(): readonly Sample[] {
    return this.#samples.slice();
  }
}
