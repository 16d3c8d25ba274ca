/**
 * How long something takes mostly: mean and mean deviation of the newest times, and from them the longest that is still
 * usual, as RFC 6298, section 2, has the timeout for a retransmission. On a busy machine times grow and scatter: there a time
 * that is long elsewhere is no sign of a fault.
 */

/** Shares of the newest time. The RFC's are 1/8 and 1/4; with those, one long time would count for as much as most others. */
const NEWEST_IN_MEAN = 1 / 64;
const NEWEST_IN_DEVIATION = 1 / 32;

/** A time is usual up to so many deviations above the mean, as in the RFC. */
const DEVIATIONS = 4;

export class UsualTime {
  #meanMs = 0;
  #deviationMs = 0;

  /** The longest time that is usual; 0 before the first one. */
  get longestMs(): number {
    return this.#meanMs + DEVIATIONS * this.#deviationMs;
  }

  note(ms: number): void {
    const offMs = ms - this.#meanMs;
    this.#deviationMs += NEWEST_IN_DEVIATION * (Math.abs(offMs) - this.#deviationMs);
    this.#meanMs += NEWEST_IN_MEAN * offMs;
  }
}
