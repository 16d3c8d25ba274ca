import { ServerError } from "../errors.ts";

/**
 * Decides whether the pool may start a connect. One quick failure is no outage: the next connect starts at once. The
 * breaker opens at the second failure in a row, or at the first one if that connect took longer than the longest window.
 *
 * While the breaker is open, one connect per window (the probe) tests the database. The pool refuses all other callers
 * at once: a refusal costs microseconds, and sends nothing to the database. Each failed probe doubles the window, up to
 * half a second, so that the pool sees the database's return within a second. The windows are jittered, so that many
 * isolates do not probe in the same moment.
 *
 * If probes that hang have all permits when a window is due, one of them is given up: a database that was frozen may
 * never answer the connects from before its return. But a database that is only slow to log in answers the connect that
 * waits for long enough, and until then both look the same. So the oldest of several probes is kept up to its connect
 * timeout, and none is given up sooner than the newest login would allow. With a permit for one probe alone, most of the
 * time goes to short probes, and some to longer and longer ones.
 */
export class CircuitBreaker {
  static readonly firstWindowMs = 25;
  static readonly longestWindowMs = 500;
  /** While connects fail, the database counts as alive for this long after the last answer on an open connection. */
  static readonly maxSilenceMs = 1_000;
  /**
   * A permit for one probe alone: each turn is for short probes, and its last tenth for one long probe. Turns double in
   * length, so that a login of any time up to 16 s is waited for; the longest one is repeated. Long probes are few, since
   * while one hangs the database's return is not seen. A Neon compute needs none: short probes start it as well, and once
   * it runs its logins are quick.
   */
  static readonly firstTurnMs = 20_000;
  static readonly longestTurnMs = 160_000;

  readonly #random: () => number;
  #failures = 0;
  #windowEndsAt = 0;
  #openedAtMs = 0;
  /** How long the newest login has taken. */
  #loginMs = 0;
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
    if (!this.isOpen) this.#openedAtMs = nowMs;
    this.#failures += nowMs - sinceMs > CircuitBreaker.longestWindowMs ? 2 : 1;
    if (this.isOpen) this.#windowEndsAt = nowMs + this.#windowMs();
  }

  /** `sinceMs` is when the connect started. */
  onSuccess({ sinceMs, nowMs }: { sinceMs: number; nowMs: number }): void {
    this.noteAnswer(nowMs);
    this.#loginMs = nowMs - sinceMs;
    this.#failures = 0;
    this.#lastError = undefined;
    this.#windowEndsAt = 0;
  }

  /** Whether a probe that hangs may be given up for a new one. `isAlone` says that it is the only one in progress. */
  mayGiveUp({ sinceMs, isAlone }: { sinceMs: number; isAlone: boolean }, nowMs: number): boolean {
    const { longestWindowMs } = CircuitBreaker;
    if (nowMs - sinceMs < Math.max(longestWindowMs, 2 * this.#loginMs)) return false;
    return !(isAlone && this.#isTimeForLongProbe(nowMs));
  }

  #isTimeForLongProbe(nowMs: number): boolean {
    const { firstTurnMs, longestTurnMs } = CircuitBreaker;
    let passedMs = nowMs - this.#openedAtMs;
    let turnMs = firstTurnMs;
    for (; turnMs < longestTurnMs && passedMs >= turnMs; turnMs *= 2) passedMs -= turnMs;
    return passedMs % turnMs >= 0.9 * turnMs;
  }

  #windowMs(): number {
    const windowMs = CircuitBreaker.firstWindowMs * 2 ** this.#failures;
    return Math.min(windowMs, CircuitBreaker.longestWindowMs) * (0.5 + this.#random() / 2);
  }
}
