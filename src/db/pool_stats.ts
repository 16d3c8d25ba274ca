/** What a pool tells of itself. */

/** A snapshot. */
export interface PoolStats {
  /** Permits in all. */
  readonly limit: number;
  readonly opening: number;
  readonly leased: number;
  readonly idle: number;
  readonly closing: number;
  readonly waiting: number;
  readonly counters: Readonly<PoolCounters>;
}

/** How often each has happened since the pool was made. */
export interface PoolCounters {
  acquired: number;
  /** Waiters whose time ran out. */
  timedOut: number;
  /** Waiters whose signal aborted. */
  aborted: number;
  /** Askers sent away at once, or shed. */
  refused: number;
  connected: number;
  connectFailed: number;
  /** Closed for their age. */
  recycled: number;
  /** Closed as the server has ended since they were opened. */
  outlived: number;
  /** Closed for having been idle too long. */
  idleClosed: number;
  /** Closed as enough others were idle, or as another scope waited. */
  overflowClosed: number;
  /** Closed as they had died, or came back in a state that could not be mended. */
  broken: number;
}

export function newCounters(): PoolCounters {
  return {
    acquired: 0,
    timedOut: 0,
    aborted: 0,
    refused: 0,
    connected: 0,
    connectFailed: 0,
    recycled: 0,
    outlived: 0,
    idleClosed: 0,
    overflowClosed: 0,
    broken: 0,
  };
}
