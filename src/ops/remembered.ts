import { type Clock, systemClock } from "../db/mod.ts";

/**
 * What `read` gave, for a time: those who ask meanwhile, and those who ask while it reads, get the same. A failure is
 * told to those who wait for it, and then read anew.
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
