import { type Clock, systemClock } from "./clock.ts";

/** Resolves with the promise or after the time, whichever is first; says which. A rejection passes through. */
export async function settledWithin(
  promise: Promise<unknown>,
  timeoutMs: number,
  clock: Clock = systemClock,
): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const cancel = clock.after(timeoutMs, () => late.resolve(false));
  try {
    return await Promise.race([promise.then(() => true), late.promise]);
  } finally {
    cancel();
  }
}
