import type { Clock } from "../time/clock.ts";
import type { Connection } from "../driver/driver.ts";
import { Generation } from "./generation.ts";
import { Outage } from "./outage.ts";
import type { PoolOptions } from "./pool_options.ts";
import type { PoolMetrics } from "./pool_stats.ts";

export interface ConnectorOptions extends Pick<PoolOptions, "connect" | "connectTimeoutMs"> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: PoolMetrics;
  /** A server has let somebody in. */
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
  readonly #options: ConnectorOptions;
  readonly #outage: Outage;
  readonly #generation = new Generation();

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#outage = new Outage(options.random);
  }

  /** Of the server, as far as is known. */
  get generation(): number {
    return this.#generation.current;
  }

  /** The newest connect failure; `undefined` when the newest connect succeeded. */
  get lastError(): Error | undefined {
    return this.#outage.lastError;
  }

  /** Whether the database lets nobody in, and that is no hiccup. */
  get isOut(): boolean {
    return this.#outage.isOn;
  }

  /** How long no connect may be tried; 0 if one may be now. */
  outageMs(nowMs: number): number {
    return this.#outage.remainingMs(nowMs);
  }

  /** A connection that was in use has come back alive. */
  heard(nowMs: number): void {
    this.#outage.heard(nowMs);
  }

  /** Whether a connection that is still in use may be waited for: not if the database may have frozen. */
  isAlive(nowMs: number): boolean {
    return this.#outage.isAlive(nowMs);
  }

  /** Rejects with `ConnectError`. */
  async open({ signal, isWanted }: Opening): Promise<Connection> {
    const { connect, connectTimeoutMs: timeoutMs, clock } = this.#options;
    const born = { sinceMs: clock.now(), of: this.generation };
    this.#outage.probing(born.sinceMs);
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
      this.#outage.ended(clock.now());
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
    this.#outage.failed(error, { sinceMs, nowMs });
  }
}
