import type { Connection, FlightPart } from "../driver/driver.ts";

/** The counter of `PoolCounters` for a connection that its holder closes. */
export type DestroyCause = "destroyed" | "leftState";

/** What the pool does when a lease is returned. */
export interface LeaseReturn {
  /** Keeps the connection if its status byte allows it. */
  release(): Promise<void>;
  /** Closes the connection, whatever its state, and counts it by the cause. */
  destroy(cause: DestroyCause): Promise<void>;
}

/**
 * A permit with its connection. `Pool.acquire` makes it. The holder returns it once, by `release()` or `destroy()`;
 * later calls of either do nothing and return the first call's promise.
 */
export class Lease {
  /** Belongs to the holder until the lease is returned. */
  readonly connection: Connection;
  /** How long the connection was idle before this lease; `undefined` if the connection is new. */
  readonly idleMs: number | undefined;
  /** How many leases the connection has had, this one included. */
  readonly number: number;
  /**
   * Set by the holder during a flight. The pool calls it when it closes and its deadline has passed. The holder then
   * stops the flight and returns the lease. If it is not set, the pool closes the connection itself.
   */
  onRevoke: (() => void) | undefined;
  /** Set by the holder during a flight, for `Pool.inspect`. */
  flight: { readonly parts: readonly FlightPart[]; readonly sinceMs: number } | undefined;
  /** Set by the holder when it stops a flight. A login that breaks off then does not show that the database is gone. */
  isInterrupted = false;
  readonly #return: LeaseReturn;
  #returned: Promise<void> | undefined;

  /** @internal Use `Pool.acquire`. */
  constructor(
    connection: Connection,
    options: { idleMs: number | undefined; number: number; onReturn: LeaseReturn },
  ) {
    this.connection = connection;
    this.idleMs = options.idleMs;
    this.number = options.number;
    this.#return = options.onReturn;
  }

  /** Whether the holder has returned it. The pool may still be resetting the connection. */
  get isReturned(): boolean {
    return this.#returned !== undefined;
  }

  /**
   * Returns the connection for reuse. The pool rolls back if its status byte is `T` or `E`. It closes a connection whose
   * byte is not `I` then, and one that is too old or not needed. Never rejects. Resolves when the connection was handed
   * on or kept, or when the pool has begun to close it.
   */
  release(): Promise<void> {
    return this.#returned ??= this.#return.release();
  }

  /** Closes the connection, and counts it by `cause`. Never rejects. Resolves when the permit is free. */
  destroy(cause: "destroyed" | "leftState" = "destroyed"): Promise<void> {
    return this.#returned ??= this.#return.destroy(cause);
  }
}
