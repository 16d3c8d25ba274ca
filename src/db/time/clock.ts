/** Time as the pool and retry see it, so that tests can run it. */
export interface Clock {
  /** Milliseconds that only grow; their zero means nothing. */
  now(): number;
  /** Calls back once after the time, or after some weeks if that is sooner, unless the function that it returns is called first. */
  after(timeMs: number, callback: () => void): () => void;
}

/** Runtimes count a timer's milliseconds in 32 bits, and take more for none at all. */
const LONGEST_MS = 2 ** 31 - 1;

/** The runtime's own time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(timeMs, callback) {
    const timer = setTimeout(callback, Math.min(timeMs, LONGEST_MS));
    return () => clearTimeout(timer);
  },
};
