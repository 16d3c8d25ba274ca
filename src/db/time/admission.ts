/**
 * Admission control: whether one more caller may wait for a permit. As many may as permits came back within the last
 * `targetMs`, and one more for each permit. So a caller that is let in waits for about the target and one use, and any
 * other is refused before it has waited. By Little's law a wait is the length of the queue divided by the rate at which it
 * is served.
 *
 * The rate is that of the present queue: how fast an earlier queue was served says nothing of this one. It is known once
 * as many permits came back as there are, or after `targetMs`. Before that, all callers may wait: a burst may be served in
 * no time.
 */
export interface AdmissionOptions {
  /** 0 lets all callers wait. */
  readonly targetMs: number;
  readonly permits: number;
  /** Whether a login is in progress, if permits come back by logins. */
  readonly isLoggingIn?: () => boolean;
}

export class AdmissionControl {
  readonly #options: AdmissionOptions;
  /** When the queue was last empty, or when the first permit came back since then. */
  #sinceMs = 0;
  /** Permits that came back while callers waited. */
  #returns = 0;
  #lastReturnMs = 0;
  /** The same, each weighted by `exp(-age / targetMs)`: at a steady rate their sum is that of one `targetMs`. */
  #recentReturns = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** To be called when a permit comes back while callers wait. */
  noteReturn(nowMs: number): void {
    if (this.#options.targetMs === 0) return;
    if (this.#returns++ === 0) this.#sinceMs = nowMs;
    this.#recentReturns = this.#recentReturns * this.#weight(nowMs - this.#lastReturnMs) + 1;
    this.#lastReturnMs = nowMs;
  }

  /** To be asked for each caller that would have to wait: whether it may, behind so many others. */
  admits(waiting: number, nowMs: number): boolean {
    const { targetMs, permits, isLoggingIn } = this.#options;
    if (targetMs === 0) return true;
    // The time that a server takes to wake up and to accept logins is no sign of its speed.
    if (waiting === 0 || this.#returns === 0 && isLoggingIn?.()) this.begin(nowMs);
    const ageMs = nowMs - this.#sinceMs;
    if (this.#returns < permits && ageMs < targetMs) return true;
    const recentReturns = this.#recentReturns * this.#weight(nowMs - this.#lastReturnMs);
    // The divisor makes up for a queue that is younger than a few `targetMs`.
    return waiting < permits + recentReturns / (1 - this.#weight(ageMs));
  }

  /** To be called when a caller begins to wait behind no other. `admits` does it for the callers that it is asked about. */
  begin(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#returns = 0;
    this.#recentReturns = 0;
  }

  #weight(ageMs: number): number {
    return Math.exp(-ageMs / this.#options.targetMs);
  }
}
