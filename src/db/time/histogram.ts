/** A snapshot of a histogram of durations. */
export interface HistogramStats {
  /** Inclusive upper bounds of the buckets, in milliseconds. The last bucket has no bound. */
  readonly boundsMs: readonly number[];
  /** Durations in each bucket: one bucket more than there are bounds. */
  readonly counts: readonly number[];
  /** All times together. */
  readonly sumMs: number;
}

/** OpenTelemetry's buckets for database durations, with finer ones at the lower end. */
const BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000];

/** Counts durations by bucket, in bounded memory. */
export class Histogram {
  readonly #counts: number[] = Array<number>(BOUNDS_MS.length + 1).fill(0);
  #sumMs = 0;

  /** Counts one time, in milliseconds. */
  record(timeMs: number): void {
    let index = 0;
    while (index < BOUNDS_MS.length && timeMs > BOUNDS_MS[index]!) index++;
    this.#counts[index]!++;
    this.#sumMs += timeMs;
  }

  /** The counts until now. */
  snapshot(): HistogramStats {
    return { boundsMs: BOUNDS_MS, counts: [...this.#counts], sumMs: this.#sumMs };
  }
}
