import { type Clock, systemClock } from "../db/mod.ts";

/**
 * Caches the result of `read` for `forMs` milliseconds. A failure is not cached. Calls before there is a result read each
 * for themselves: on Workers a promise of another request does not settle if that request ends first.
 */
export function cachedFor<Args extends unknown[], T>(
  read: (...args: Args) => Promise<T>,
  { forMs, clock = systemClock }: { forMs: number; clock?: Clock },
): (...args: Args) => Promise<T> {
  let known: { readonly value: T; readonly untilMs: number } | undefined;
  return async (...args) => {
    if (known !== undefined && clock.now() < known.untilMs) return known.value;
    const value = await read(...args);
    known = { value, untilMs: clock.now() + forMs };
    return value;
  };
}
