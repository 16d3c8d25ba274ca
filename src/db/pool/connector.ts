import type { Clock } from "../time/clock.ts";
import type { Connection } from "../driver/driver.ts";
import { Generation } from "./generation.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import type { PoolOptions } from "./pool_options.ts";
import type { PoolMetrics } from "./pool_stats.ts";

export interface ConnectorOptions extends Pick<PoolOptions, "connect" | "connectTimeoutMs"> {
  readonly clock: Clock;
  readonly metrics: PoolMetrics;
  readonly breaker: CircuitBreaker;
  /** A connection got its first ReadyForQuery. */
  readonly onReady: () => void;
}

export interface ConnectAttempt {
  readonly signal: AbortSignal;
  /** False once the pool has given the connect up: a failure then says nothing about the database. */
  readonly isWanted: () => boolean;
  /** Whether the caller of a flight on the login has given up, which closes the connection. */
  readonly isInterrupted: () => boolean;
}

interface ConnectStart {
  readonly sinceMs: number;
  /** The server's generation at that time. */
  readonly openedIn: number;
}

/**
 * Opens connections. From how they begin and end it learns whether the database can be reached (circuit breaker), and
 * whether the server has ended since a connection was opened (generation).
 */
export class Connector {
  readonly breaker: CircuitBreaker;
  readonly #options: ConnectorOptions;
  readonly #generation = new Generation();
  #connectMs = 0;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.breaker = options.breaker;
  }

  /** The server's current generation. */
  get generation(): number {
    return this.#generation.current;
  }

  /** How long the newest connection took to open, with its login. */
  get connectMs(): number {
    return this.#connectMs;
  }

  endGeneration(generation: number): void {
    this.#generation.end(generation);
  }

  /** Rejects with `ConnectError`. */
  async open(attempt: ConnectAttempt): Promise<Connection> {
    const { connect, connectTimeoutMs: timeoutMs, clock } = this.#options;
    const { signal, isWanted } = attempt;
    const start = { sinceMs: clock.now(), openedIn: this.generation };
    // No flight rides on a probe's login, so that the probe can be given up.
    const untilReady = this.breaker.isOpen;
    this.breaker.onAttempt(start.sinceMs);
    try {
      const connection = await connect({ timeoutMs, signal, untilReady });
      this.#watch(connection, attempt, start);
      return connection;
    } catch (error) {
      if (isWanted()) this.#noteFailure(error as Error, start);
      throw error;
    }
  }

  #watch(
    connection: Connection,
    { isWanted, isInterrupted }: ConnectAttempt,
    start: ConnectStart,
  ): void {
    const { clock, metrics, onReady } = this.#options;
    connection.ready.then(() => {
      const nowMs = clock.now();
      metrics.counters.connected++;
      this.#connectMs = nowMs - start.sinceMs;
      metrics.connectTimes.record(this.#connectMs);
      this.breaker.onSuccess({ ...start, nowMs });
      onReady();
    }, (error) => {
      // A caller may give up at once. But a login that took longer than the longest window is slow, also if it was given up.
      const isSlow = clock.now() - start.sinceMs > CircuitBreaker.longestWindowMs;
      if (isWanted() && (isSlow || !isInterrupted())) this.#noteFailure(error, start);
    });
    connection.closed.then((reason) => {
      // Before the first ReadyForQuery `ready` reports the failure.
      if (reason === undefined || connection.status === undefined) return;
      this.#generation.noteFailure(reason, { nowMs: clock.now(), openedIn: start.openedIn });
    });
  }

  #noteFailure(error: Error, { sinceMs, openedIn }: ConnectStart): void {
    const nowMs = this.#options.clock.now();
    this.#options.metrics.counters.connectFailed++;
    this.#generation.noteFailure(error, { nowMs, openedIn });
    this.breaker.onFailure(error, { sinceMs, nowMs });
  }
}
