/** The pool's counters and histograms, for metrics and the operator. */
import type { PoolCounts } from "../errors.ts";
import { Histogram, type HistogramStats } from "../time/histogram.ts";

/** A snapshot of a pool without its histograms: permits by state, and counters. */
export interface PoolTotals extends PoolCounts {
  /** Events since the pool was made. */
  readonly counters: Readonly<PoolCounters>;
}

/** A snapshot of a pool: permits by state, counters and histograms. */
export interface PoolStats extends PoolTotals {
  /** From `acquire` to the lease, for the callers that got one. */
  readonly waitTimes: HistogramStats;
  /** From the lease to its return. */
  readonly useTimes: HistogramStats;
  /** From opening the socket to the server's first ReadyForQuery. */
  readonly connectTimes: HistogramStats;
}

/** How often each event has happened since the pool was made. */
export interface PoolCounters {
  /** Leases granted. */
  acquired: number;
  /** Of them, those that share a connection with others that came before. */
  shared: number;
  /** Shared reads that were sent again on another connection because one in front of them took long. */
  moved: number;
  /** Waiters refused after `acquireTimeoutMs`. */
  timedOut: number;
  /** Waiters whose signal aborted while they waited. */
  aborted: number;
  /** Callers refused at once because the queue was full. */
  queueFull: number;
  /** Callers refused at once because they would have waited for longer than `shedTargetMs`. */
  shed: number;
  /** Callers and waiters refused because the database could not be reached. */
  unreachable: number;
  /** Callers refused because their request holds a connection already and would have waited for another. */
  holdAndWait: number;
  /** Connections that got their first ReadyForQuery. */
  connected: number;
  /** Connects that failed, without those that the pool gave up. */
  connectFailed: number;
  /** Connections closed at `recycleMs`. */
  recycled: number;
  /** Connections closed because the server has ended since they were opened. */
  staleGeneration: number;
  /** Connections closed after `idleTimeoutMs`. */
  idleClosed: number;
  /** Connections closed because `size` others were idle, another caller needed the permit, or the scope had ended. */
  overflowClosed: number;
  /** Connections that died, or that a ROLLBACK on return did not bring to status `I`. */
  broken: number;
  /** Connections closed by `Lease.destroy`, without those of `leftState`. */
  destroyed: number;
  /** Connections closed because a transaction left state on them that outlives it, such as SET or a temporary table. */
  leftState: number;
  /** Connections closed because the pool closed. */
  closedWithPool: number;
  /** Permits that expired because a request did not release them in time. */
  expired: number;
  /** Leases reported by `PoolOptions.leaks`. */
  leaked: number;
}

export class PoolMetrics {
  readonly counters: PoolCounters = {
    acquired: 0,
    shared: 0,
    moved: 0,
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
    leftState: 0,
    closedWithPool: 0,
    expired: 0,
    leaked: 0,
  };
  readonly waitTimes = new Histogram();
  readonly useTimes = new Histogram();
  readonly connectTimes = new Histogram();

  snapshot(): Omit<PoolStats, keyof PoolTotals> {
    return {
      waitTimes: this.waitTimes.snapshot(),
      useTimes: this.useTimes.snapshot(),
      connectTimes: this.connectTimes.snapshot(),
    };
  }
}
