import type { Sample } from "./snapshot.ts";

export const SAMPLE_INTERVAL_MS = 1_000;
/** Five minutes. */
const MAX_SAMPLES = 300;

/** The samples of the last five minutes, so that a page opened during an incident shows how the incident began. */
export class SampleHistory {
  readonly #samples: Sample[] = [];

  add(sample: Sample): void {
    this.#samples.push(sample);
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  list(): readonly Sample[] {
    return this.#samples.slice();
  }
}
