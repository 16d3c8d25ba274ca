/**
 * When a queue has been slow for a whole interval, waiting longer helps nobody: serve the young, refuse the old.
 * CoDel (RFC 8289) as a server's queue uses it: the smallest delay seen in an interval tells a standing queue from
 * a burst, and while it stands, waiters older than twice the target are refused when their turn comes.
 */
export class QueueDelayControl {
  readonly #targetMs: number;
  readonly #intervalMs: number;
  #intervalEndsAt = 0;
  #smallestMs = Infinity;
  #standing = false;

  /** `targetMs` 0 switches the control off. */
  constructor(targetMs: number) {
    this.#targetMs = targetMs;
    this.#intervalMs = 4 * targetMs;
  }

  /** Whether a waiter whose turn has come after `delayMs` is refused instead. */
  refuses(delayMs: number, nowMs: number): boolean {
    if (this.#targetMs === 0) return false;
    if (nowMs >= this.#intervalEndsAt) {
      this.#standing = this.#smallestMs !== Infinity && this.#smallestMs > this.#targetMs;
      this.#smallestMs = Infinity;
      this.#intervalEndsAt = nowMs + this.#intervalMs;
    }
    this.#smallestMs = Math.min(this.#smallestMs, delayMs);
    // One short wait shows that the queue has drained.
    if (delayMs <= this.#targetMs) this.#standing = false;
    return this.#standing && delayMs > 2 * this.#targetMs;
  }
}
