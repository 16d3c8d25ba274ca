/** How often a time fell into which class. */
export interface HistogramStats {
  /** Upper bounds of the classes in milliseconds, each included; the last class has none. */
  readonly boundsMs: readonly number[];
  /** One more than there are bounds. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

/** OpenTelemetry's advice for database durations, made finer at its lower end. */
const BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000];

/** Counts times by class, in bounded memory. */
export class Histogram {
  readonly #counts: number[] = Array<number>(BOUNDS_MS.length + 1).fill(0);
  #sumMs = 0;

  record(timeMs: number): void {
    let index = 0;
    while (index < BOUNDS_MS.length && timeMs > BOUNDS_MS[index]!) index++;
    this.#counts[index]!++;
    this.#sumMs += timeMs;
  }

  snapshot(): HistogramStats {
    return { boundsMs: BOUNDS_MS, counts: [...this.#counts], sumMs: this.#sumMs };
  }
}
