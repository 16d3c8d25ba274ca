import type { Clock } from "../time/clock.ts";
import type { Connection } from "../driver/driver.ts";
import { Generation } from "./generation.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";
import type { PoolOptions } from "./pool_options.ts";
import type { PoolMetrics } from "./pool_stats.ts";

export interface ConnectorOptions extends Pick<PoolOptions, "connect" | "connectTimeoutMs"> {
  readonly clock: Clock;
  readonly metrics: PoolMetrics;
  readonly breaker: CircuitBreaker;
  /** A login succeeded. */
  readonly onReady: () => void;
}

/** One connect, as whoever asked for it sees it. */
export interface Opening {
  readonly signal: AbortSignal;
  /** Whether it is not the pool itself that has given it up, which says nothing of the database. */
  readonly isWanted: () => boolean;
}

/** When a connect began, and of which generation the server was then. */
interface Born {
  readonly sinceMs: number;
  readonly of: number;
}

/**
 * Opens connections, and learns from how they begin and end whether the database can be reached, and whether it is
 * still the same server.
 */
export class Connector {
  readonly breaker: CircuitBreaker;
  readonly #options: ConnectorOptions;
  readonly #generation = new Generation();

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.breaker = options.breaker;
  }

  /** Of the server, as far as is known. */
  get generation(): number {
    return this.#generation.current;
  }

  /** Rejects with `ConnectError`. */
  async open({ signal, isWanted }: Opening): Promise<Connection> {
    const { connect, connectTimeoutMs: timeoutMs, clock } = this.#options;
    const born = { sinceMs: clock.now(), of: this.generation };
    this.breaker.onAttempt(born.sinceMs);
    try {
      const connection = await connect({ timeoutMs, signal });
      this.#watch(connection, { born, isWanted });
      return connection;
    } catch (error) {
      if (isWanted()) this.#failed(error as Error, born);
      throw error;
    }
  }

  #watch(
    connection: Connection,
    { born, isWanted }: { born: Born; isWanted: () => boolean },
  ): void {
    const { clock, metrics, onReady } = this.#options;
    connection.ready.then(() => {
      metrics.counters.connected++;
      metrics.connectTimes.record(clock.now() - born.sinceMs);
      this.breaker.onSuccess(clock.now());
      onReady();
    }, (error) => {
      if (isWanted()) this.#failed(error, born);
    });
    connection.closed.then((reason) => {
      // A refused login is told by `ready`.
      if (reason === undefined || connection.status === undefined) return;
      this.#generation.observe(reason, { nowMs: clock.now(), of: born.of });
    });
  }

  #failed(error: Error, { sinceMs, of }: Born): void {
    const nowMs = this.#options.clock.now();
    this.#options.metrics.counters.connectFailed++;
    this.#generation.observe(error, { nowMs, of });
    this.breaker.onFailure(error, { sinceMs, nowMs });
  }
}
