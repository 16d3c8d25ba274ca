import { ServerError } from "../errors.ts";

/**
 * Decides whether the pool may start a connect. One quick failure is no outage: the next connect starts at once. The
 * breaker opens at the second failure in a row, or at the first one if that connect took longer than the longest window.
 *
 * While the breaker is open, one connect per window (the probe) tests the database. The pool refuses all other callers
 * at once: a refusal costs microseconds, and sends nothing to the database. Each failed probe doubles the window, up to
 * half a second, so that the pool sees the database's return within a second. The windows are jittered, so that many
 * isolates do not probe in the same moment.
 */
export class CircuitBreaker {
  static readonly firstWindowMs = 25;
  static readonly longestWindowMs = 500;
  /** While connects fail, the database counts as alive for this long after the last answer on an open connection. */
  static readonly maxSilenceMs = 1_000;

  readonly #random: () => number;
  #failures = 0;
  #windowEndsAt = 0;
  #lastError: Error | undefined;
  #answeredAtMs = -Infinity;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  get isOpen(): boolean {
    return this.#failures > 1;
  }

  /** Time until the next connect may start; 0 if it may start now. */
  retryInMs(nowMs: number): number {
    return Math.max(0, this.#windowEndsAt - nowMs);
  }

  /** To be called when a connect starts. If the breaker is open, that connect is the probe and opens the next window. */
  onAttempt(nowMs: number): void {
    if (!this.isOpen) return;
    // Counts the probe as failed in advance. `onFailure` does not count it again within its window, and `onSuccess`
    // resets the count.
    this.#failures++;
    this.#windowEndsAt = nowMs + this.#windowMs();
  }

  /** To be called when the database has answered on an open connection. */
  noteAnswer(nowMs: number): void {
    this.#answeredAtMs = nowMs;
  }

  /** Whether waiters may count on the connections that are leased. A database that is silent for longer may hang. */
  answeredRecently(nowMs: number): boolean {
    return nowMs - this.#answeredAtMs <= CircuitBreaker.maxSilenceMs;
  }

  /** Counts the failures of one window once. `sinceMs` is when the connect started. */
  onFailure(error: Error, { sinceMs, nowMs }: { sinceMs: number; nowMs: number }): void {
    this.#lastError = error;
    // A server that refuses a login with an error of its own is alive.
    if (error.cause instanceof ServerError) this.noteAnswer(nowMs);
    if (nowMs < this.#windowEndsAt) return;
    this.#failures += nowMs - sinceMs > CircuitBreaker.longestWindowMs ? 2 : 1;
    if (this.isOpen) this.#windowEndsAt = nowMs + this.#windowMs();
  }

  onSuccess(nowMs: number): void {
    this.noteAnswer(nowMs);
    this.#failures = 0;
    this.#lastError = undefined;
    this.#windowEndsAt = 0;
  }

  #windowMs(): number {
    const windowMs = CircuitBreaker.firstWindowMs * 2 ** this.#failures;
    return Math.min(windowMs, CircuitBreaker.longestWindowMs) * (0.5 + this.#random() / 2);
  }
}
