import { type Clock, systemClock } from "../db/mod.ts";

/**
 * Caches the result of `read` for `forMs` milliseconds. Calls during a running `read` share its result. A failure is
 * not cached: the calls that share it reject, and the next call reads again.
 */
export function cachedFor<T>(
  read: () => Promise<T>,
  { forMs, clock = systemClock }: { forMs: number; clock?: Clock },
): () => Promise<T> {
  let value: Promise<T> | undefined;
  let untilMs = 0;
  return () => {
    if (value !== undefined && clock.now() < untilMs) return value;
    untilMs = Infinity;
    value = read();
    value.then(() => untilMs = clock.now() + forMs, () => untilMs = 0);
    return value;
  };
}
