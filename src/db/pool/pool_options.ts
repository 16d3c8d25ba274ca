/** What a pool takes: at its making, and for each lease. */
import type { Clock } from "../time/clock.ts";
import type { Connection } from "../driver/driver.ts";
import type { LeakOptions } from "./leak_watch.ts";
import type { OwnerScope } from "./owner_scope.ts";

export interface PoolOptions {
  connect(options: { timeoutMs: number; signal: AbortSignal }): Promise<Connection>;
  /** Connections kept. */
  readonly size: number;
  /** Permits beyond `size`. */
  readonly maxOverflow: number;
  /** Longest wait of `acquire`. */
  readonly acquireTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Age at which a connection is replaced, less up to a tenth; `Infinity` for never. */
  readonly recycleMs: number;
  readonly idleTimeoutMs: number;
  readonly maxWaiters: number;
  /** CoDel's target for the wait in the queue; 0 for off. */
  readonly shedTargetMs: number;
  /** Reports leases that are held too long. Off by default. */
  readonly leaks?: LeakOptions | undefined;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

export interface AcquireOptions {
  readonly scope: OwnerScope;
  readonly signal?: AbortSignal | undefined;
  /** Takes no connection that was used before, and goes ahead of those who wait: for one that has died at once. */
  readonly fresh?: boolean;
  /**
   * After this long the server has ended what the lease is for, by its own timeouts. A request that ended without
   * giving its lease back loses the permit then. In a lasting scope a lease is held until it is given back.
   */
  readonly holdMs?: number;
  /** Who asks, for reports. */
  readonly label?: string | undefined;
}

/** `AcquireOptions` with what was left out. The signal matters to those who wait only. */
export type AcquireRequest = Readonly<Required<Omit<AcquireOptions, "signal">>>;
