/** What the caller passes to a pool when it makes it, and for each lease. */
import {
  ABOVE_ZERO,
  assertLimits,
  FINITE_OR_NEVER,
  fromZero,
  TIMER,
  wholeFrom,
} from "../time/limits.ts";
import type { Clock } from "../time/clock.ts";
import type { Connection } from "../driver/driver.ts";
import type { LeakOptions } from "./leak_watch.ts";
import type { LeaseHolder } from "./lease_holder.ts";
import type { ReadDepth } from "./read_times.ts";
import type { OwnerScope } from "./owner_scope.ts";

/** Bounds of a pool, and how it opens connections. All durations are in milliseconds. */
export interface PoolOptions {
  /**
   * Opens a connection, as `Driver.connect` does: rejects with `ConnectError`, at the latest after `timeoutMs`, and when
   * `signal` aborts. With `untilReady` it resolves once the server has accepted the login.
   */
  connect(
    options: { timeoutMs: number; signal: AbortSignal; untilReady: boolean },
  ): Promise<Connection>;
  /** Idle connections that one owner keeps. With `maxOverflow`, the bound on permits. A whole number from 1. */
  readonly size: number;
  /** Permits beyond `size`. A whole number from 0. */
  readonly maxOverflow: number;
  /** The longest wait of `acquire`, for a permit and for a connect together. */
  readonly acquireTimeoutMs: number;
  /** The longest time from the start of a connect to the connection's first ReadyForQuery. */
  readonly connectTimeoutMs: number;
  /** Age at which a connection is replaced, less a random share of up to a tenth; 0 for after each use, `Infinity` for never. */
  readonly recycleMs: number;
  /** A connection that is idle for this long is closed; `Infinity` for never. */
  readonly idleTimeoutMs: number;
  /** The queue's bound: `acquire` refuses at once when this many callers wait until another one returns its connection. */
  readonly maxWaiters: number;
  /** A caller that would wait for longer than this and one use of a lease is refused at once (`time/admission.ts`); 0 for never. */
  readonly shedTargetMs: number;
  /**
   * Most shared reads behind one another on a connection; 1 for none. With `auto`, the default, 16 where no permit is left (up
   * to 32 while slow reads hold up other connections), and otherwise as many as the server answers within 2 ms; on a busy
   * pool also while connections are idle, if the answers come sooner so. Only in lasting scopes.
   */
  readonly readDepth?: ReadDepth | undefined;
  /** Reports leases that are held for too long. Off by default. */
  readonly leaks?: LeakOptions | undefined;
  /** The runtime's clock by default. */
  readonly clock?: Clock;
  /** A number from 0 up to 1, as `Math.random`, the default. */
  readonly random?: () => number;
}

const RANGES = {
  size: wholeFrom(1),
  maxOverflow: wholeFrom(0),
  acquireTimeoutMs: TIMER,
  connectTimeoutMs: TIMER,
  recycleMs: fromZero("after each use, and Infinity never"),
  idleTimeoutMs: ABOVE_ZERO,
  maxWaiters: wholeFrom(0),
  shedTargetMs: FINITE_OR_NEVER,
};

const READ_DEPTH = {
  text: 'a whole number from 1 to 64, or "auto"',
  has: (value: number) => Number.isInteger(value) && value >= 1 && value <= 64,
};

/** Throws `RangeError` for an option that is not in its range. */
export function assertPoolOptions({ readDepth = "auto", ...options }: PoolOptions): void {
  assertLimits("make a pool", options, RANGES);
  if (readDepth !== "auto") assertLimits("make a pool", { readDepth }, { readDepth: READ_DEPTH });
}

/** Who asks for a connection, and how long it may wait. All durations are in milliseconds. */
export interface AcquireOptions {
  /** The owner of the connection. The calling code must run on its behalf. */
  readonly scope: OwnerScope;
  /**
   * @internal The request that asks, if several share the scope: it is refused where it would wait for a lease while it holds one.
   * By default a request's own scope is the holder, and in a lasting scope there is none.
   */
  readonly holder?: LeaseHolder | undefined;
  /** Its abort ends the wait with `DeadlineError`. A granted lease does not heed it. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Takes only a connection that was never leased, and goes ahead of all other waiters. For a caller whose leased
   * connection has died.
   */
  readonly fresh?: boolean;
  /**
   * The caller sends one flight that reads only and ends its own transaction (`FlightOptions.isShared`), so that others
   * like it may be on the connection at the same time. `Lease.isShared` says whether they may.
   */
  readonly shares?: boolean;
  /**
   * A read in front of the caller took long (`Lease.lostPlace`). It goes behind others on any connection, past callers
   * that wait, or waits itself, and is not refused because others do.
   */
  readonly again?: boolean;
  /**
   * The longest use of the lease, by the server's own timeouts; 30 s by default. The pool reclaims the permit of a
   * request that ended without returning its lease after this time. In a lasting scope it has no effect: the lease
   * lasts until it is returned.
   */
  readonly holdMs?: number;
  /** Names the caller in reports of leaks and in `Pool.inspect`. */
  readonly label?: string | undefined;
}

/** `AcquireOptions` with the defaults filled in. The signal is left out: only the queue needs it. */
export interface AcquireRequest extends Omit<AcquireOptions, "signal"> {
  readonly holder: AcquireOptions["holder"];
  readonly fresh: boolean;
  readonly shares: boolean;
  readonly again: boolean;
  readonly holdMs: number;
  readonly label: string | undefined;
}
