/**
 * Whether to try connecting at all. One failed connect may be a hiccup, and is simply tried again. From the second
 * in a row on, the database is asked by one probe per window, and everybody else is refused at once: that costs
 * microseconds here and nothing there. Windows grow with each failed probe, up to half a second, so that the
 * database's return is seen within a second; each is jittered, so that many isolates do not ask in step.
 */
export class Outage {
  static readonly firstWindowMs = 25;
  static readonly longestWindowMs = 500;

  readonly #random: () => number;
  #failures = 0;
  #windowEndsAt = 0;
  #lastError: Error | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** How long no connect may be tried; 0 if one may be now. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#windowEndsAt - nowMs);
  }

  /** To be called when a connect starts: during an outage it is the probe, and opens the next window. */
  probing(nowMs: number): void {
    if (this.#failures > 1) this.#windowEndsAt = nowMs + this.#windowMs();
  }

  /** A burst of failures within one window counts once. */
  failed(error: Error, nowMs: number): void {
    this.#lastError = error;
    if (nowMs < this.#windowEndsAt) return;
    this.#failures++;
    if (this.#failures > 1) this.#windowEndsAt = nowMs + this.#windowMs();
  }

  ended(): void {
    this.#failures = 0;
    this.#lastError = undefined;
    this.#windowEndsAt = 0;
  }

  #windowMs(): number {
    const windowMs = Outage.firstWindowMs * 2 ** this.#failures;
    return Math.min(windowMs, Outage.longestWindowMs) * (0.5 + this.#random() / 2);
  }
}
