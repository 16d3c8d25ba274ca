import type { Connection, FlightPart } from "../driver/driver.ts";

/** The counter of `PoolCounters` for a connection that its holder closes. */
export type DestroyCause = "destroyed" | "leftState";

/**
 * How a caller has lost its place on a shared connection: the connection ended while its flight ran, and may have been the
 * cause, or while it was behind others; or a flight in front of it took long, and it was moved.
 */
export type LostPlace = "running" | "behind" | "moved";

/** A caller's place on a connection that others may be on. */
export interface Place {
  /** The connection itself. */
  readonly server: Connection;
  readonly lostPlace: LostPlace | undefined;
  /** Calls back once the server may begin with the flight. To be called before that, and once. */
  onTurn(callback: () => void): void;
}

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
  /** Belongs to the holder until the lease is returned. If others share it, it is the holder's share. */
  readonly connection: Connection;
  /** How long the connection was idle before this lease; `undefined` if the connection is new. */
  readonly idleMs: number | undefined;
  /** How many leases the connection has had, this one included. Callers that share it at the same time count as one. */
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
  readonly #share: Place | undefined;
  #returned: Promise<void> | undefined;

  /** @internal Use `Pool.acquire`. */
  constructor(
    connection: Connection,
    options: {
      idleMs: number | undefined;
      number: number;
      onReturn: LeaseReturn;
      share?: Place;
    },
  ) {
    this.connection = connection;
    this.#share = options.share;
    this.idleMs = options.idleMs;
    this.number = options.number;
    this.#return = options.onReturn;
  }

  /** The connection itself, also if others share it. */
  get server(): Connection {
    return this.#share?.server ?? this.connection;
  }

  /** Whether others may be on the connection, so that it takes one shared flight, and nothing else. */
  get isShared(): boolean {
    return this.#share !== undefined;
  }

  /** @internal Of a shared connection: why the flight got no answer, although the holder did not give up. */
  get lostPlace(): LostPlace | undefined {
    return this.#share?.lostPlace;
  }

  /** Calls back once the server may begin with the flight, which has been sent: while the connection is `opening`, it may not. */
  onTurn(callback: () => void): void {
    if (this.#share !== undefined) this.#share.onTurn(callback);
    else this.connection.ready.then(callback, () => {});
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

  /**
   * As `release`, for a holder that waits for nothing but the connection's ROLLBACK: not for a login, which may take as long
   * as the connect's timeout, and after which nothing has to be rolled back.
   */
  giveBack(): Promise<void> {
    const isLoggingIn = this.connection.state === "opening";
    const released = this.release();
    return isLoggingIn ? Promise.resolve() : released;
  }

  /** Closes the connection, and counts it by `cause`. Never rejects. Resolves when the permit is free. */
  destroy(cause: "destroyed" | "leftState" = "destroyed"): Promise<void> {
    return this.#returned ??= this.#return.destroy(cause);
  }
}
