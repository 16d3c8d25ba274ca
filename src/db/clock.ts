/** Time as the pool and retry see it, so that tests can run it. */
export interface Clock {
  /** Milliseconds that only grow; their zero means nothing. */
  now(): number;
  /** Calls back once after the time, unless the function that it returns is called first. */
  after(timeMs: number, callback: () => void): () => void;
}

/** The runtime's own time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(timeMs, callback) {
    const timer = setTimeout(callback, timeMs);
    return () => clearTimeout(timer);
  },
};
