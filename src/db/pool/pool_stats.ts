/** What a pool tells of itself. */
import type { PoolCounts } from "../errors.ts";
import { Histogram, type HistogramStats } from "../time/histogram.ts";

/** A snapshot. */
export interface PoolStats extends PoolCounts {
  readonly counters: Readonly<PoolCounters>;
  /** From `acquire` to the lease, of those that got one. */
  readonly waitTimes: HistogramStats;
  /** From the lease to its return. */
  readonly useTimes: HistogramStats;
  /** From opening the socket to the server's first ReadyForQuery. */
  readonly connectTimes: HistogramStats;
}

/** How often each has happened since the pool was made. */
export interface PoolCounters {
  acquired: number;
  /** Waiters whose time ran out. */
  timedOut: number;
  /** Waiters whose signal aborted. */
  aborted: number;
  /** Askers sent away at once as the queue was full. */
  queueFull: number;
  /** Waiters sent away as the queue had been slow for too long. */
  shed: number;
  /** Askers and waiters sent away as the database could not be reached. */
  unreachable: number;
  /** Askers sent away as their request holds a connection already, and would have had to wait for another. */
  holdAndWait: number;
  connected: number;
  connectFailed: number;
  /** Closed for their age. */
  recycled: number;
  /** Closed as the server has ended since they were opened. */
  staleGeneration: number;
  /** Closed for having been idle too long. */
  idleClosed: number;
  /** Closed as enough others were idle, as another scope waited, or as their own had ended. */
  overflowClosed: number;
  /** Closed as they had died, or came back in a state that could not be mended. */
  broken: number;
  /** Closed by the caller that had leased them. */
  destroyed: number;
  /** Closed as the pool closed. */
  closedWithPool: number;
  /** Permits taken back from requests that ended without giving them back. */
  expired: number;
  /** Leases that were held for longer than the threshold. */
  leaked: number;
}

/** Counts as things happen. */
export class PoolMetrics {
  readonly counters: PoolCounters = {
    acquired: 0,
    timedOut: 0,
    aborted: 0,
    queueFull: 0,
    shed: 0,
    unreachable: 0,
    holdAndWait: 0,
    connected: 0,
    connectFailed: 0,
    recycled: 0,
    staleGeneration: 0,
    idleClosed: 0,
    overflowClosed: 0,
    broken: 0,
    destroyed: 0,
    closedWithPool: 0,
    expired: 0,
    leaked: 0,
  };
  readonly waitTimes = new Histogram();
  readonly useTimes = new Histogram();
  readonly connectTimes = new Histogram();

  snapshot(): Omit<PoolStats, keyof PoolCounts> {
    return {
      counters: { ...this.counters },
      waitTimes: this.waitTimes.snapshot(),
      useTimes: this.useTimes.snapshot(),
      connectTimes: this.connectTimes.snapshot(),
    };
  }
}
