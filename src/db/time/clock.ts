/** The time that the pool and retry use. Tests pass one that they move by hand. */
export interface Clock {
  /** Monotonic, in milliseconds from an arbitrary origin. */
  now(): number;
  /**
   * Calls back once after `timeMs`, at most some 24 days. The function that it returns cancels that. `nowMs` is what `now`
   * has just returned, if the caller has called it: that costs more than the rest.
   */
  after(timeMs: number, callback: () => void, nowMs?: number): () => void;
}

/** A runtime's timer holds its milliseconds in 32 bits, and fires at once for more. */
export const LONGEST_MS = 2 ** 31 - 1;

/** `performance.now()` and `setTimeout`. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(timeMs, callback) {
    const timer = setTimeout(callback, Math.min(timeMs, LONGEST_MS));
    return () => clearTimeout(timer);
  },
};
