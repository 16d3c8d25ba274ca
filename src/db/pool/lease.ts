import type { Connection, FlightPart } from "../driver/driver.ts";

/** What the pool does when a lease comes back. */
export interface LeaseReturn {
  /** Keeps the connection if its own state allows it. */
  release(): Promise<void>;
  /** Closes the connection, whatever its state. */
  destroy(): Promise<void>;
}

/** A permit with its connection, given back exactly once: later calls do nothing. */
export class Lease {
  readonly connection: Connection;
  /** How long the connection had been idle before; `undefined` if it is new. */
  readonly idleMs: number | undefined;
  /**
   * Set by the holder while a flight is under way: called when the pool wants the connection back for good. The holder
   * then stops the flight and returns the lease; without it the pool closes the connection.
   */
  onRevoke: (() => void) | undefined;
  /** Set by the holder likewise, for those who look at the pool. */
  flight: { readonly parts: readonly FlightPart[]; readonly sinceMs: number } | undefined;
  readonly #return: LeaseReturn;
  #returned: Promise<void> | undefined;

  constructor(
    connection: Connection,
    options: { idleMs: number | undefined; onReturn: LeaseReturn },
  ) {
    this.connection = connection;
    this.idleMs = options.idleMs;
    this.#return = options.onReturn;
  }

  /** Never rejects. */
  release(): Promise<void> {
    return this.#returned ??= this.#return.release();
  }

  /** Never rejects. */
  destroy(): Promise<void> {
    return this.#returned ??= this.#return.destroy();
  }
}
