/**
 * CoDel (RFC 8289), applied to a server's queue. If even the smallest delay of an interval exceeds the target, the
 * queue is a standing one and not a burst. While it stands, waiters older than twice the target are refused when their
 * turn comes, so that younger waiters are served in time.
 */
export class QueueDelayControl {
  readonly #targetMs: number;
  readonly #intervalMs: number;
  #intervalEndsAt = 0;
  #smallestMs = Infinity;
  #isStanding = false;

  /** `targetMs` 0 switches the control off. */
  constructor(targetMs: number) {
    this.#targetMs = targetMs;
    this.#intervalMs = 4 * targetMs;
  }

  /** Records the delay of a waiter whose turn has come. Returns whether the pool refuses it instead of serving it. */
  shouldShed(delayMs: number, nowMs: number): boolean {
    if (this.#targetMs === 0) return false;
    if (nowMs >= this.#intervalEndsAt) {
      // An interval that ended long ago says nothing of the queue of today.
      const isRecent = nowMs - this.#intervalEndsAt < this.#intervalMs;
      this.#isStanding = isRecent && this.#smallestMs !== Infinity &&
        this.#smallestMs > this.#targetMs;
      this.#smallestMs = Infinity;
      this.#intervalEndsAt = nowMs + this.#intervalMs;
    }
    this.#smallestMs = Math.min(this.#smallestMs, delayMs);
    // One short wait shows that the queue has drained.
    if (delayMs <= this.#targetMs) this.#isStanding = false;
    return this.#isStanding && delayMs > 2 * this.#targetMs;
  }
}
