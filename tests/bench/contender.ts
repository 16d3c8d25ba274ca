/** A pool to be measured. `Held` is what it leases, in its own form, since a wrapper would cost time. */
export interface Contender<Held = unknown> {
  readonly name: string;
  /** How a waiter of this pool gives up. Printed below the table. */
  readonly givesUpBy: string;
  acquire(): Promise<Held>;
  /** Rejects once the signal aborts. */
  acquireUnless(signal: AbortSignal): Promise<Held>;
  release(held: Held): void;
  close(): Promise<unknown>;
}

/** The same bounds for all pools, as far as each supports them. */
export const BOUNDS = {
  connections: 8,
  acquireTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  recycleMs: 3_600_000,
  maxWaiters: 1_000,
} as const;
