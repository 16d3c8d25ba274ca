import { ServerError } from "../errors.ts";

/**
 * Whether to try connecting at all. One quick failure may be a hiccup, and is simply tried again. From the second
 * in a row on, or the first that took longer than a window to show, the database is asked by one probe per window,
 * and everybody else is refused at once: that costs microseconds here and nothing there. Windows grow with each
 * failed probe, up to half a second, so that the database's return is seen within a second; each is jittered, so
 * that many isolates do not ask in step.
 */
export class CircuitBreaker {
  static readonly firstWindowMs = 25;
  static readonly longestWindowMs = 500;
  /** How long after its last word a database that lets nobody in counts as alive: several transactions' time. */
  static readonly silenceMs = 1_000;

  readonly #random: () => number;
  #failures = 0;
  #windowEndsAt = 0;
  #lastError: Error | undefined;
  #heardAtMs = -Infinity;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Whether the newest connects have failed, and not by a hiccup. */
  get isOpen(): boolean {
    return this.#failures > 1;
  }

  /** How long no connect may be tried; 0 if one may be now. */
  retryInMs(nowMs: number): number {
    return Math.max(0, this.#windowEndsAt - nowMs);
  }

  /** To be called when a connect starts: during an outage it is the probe, and opens the next window. */
  onAttempt(nowMs: number): void {
    if (!this.isOpen) return;
    // Its failure, within its window, is counted already; its success will forget it.
    this.#failures++;
    this.#windowEndsAt = nowMs + this.#windowMs();
  }

  /** A connection that was in use has come back alive. */
  noteAnswer(nowMs: number): void {
    this.#heardAtMs = nowMs;
  }

  /** Whether a connection that is still in use may be waited for: not if the database may have frozen. */
  answeredRecently(nowMs: number): boolean {
    return nowMs - this.#heardAtMs <= CircuitBreaker.silenceMs;
  }

  /** A burst of failures within one window counts once. */
  onFailure(error: Error, { sinceMs, nowMs }: { sinceMs: number; nowMs: number }): void {
    this.#lastError = error;
    // Whoever refuses in words of its own is alive.
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
