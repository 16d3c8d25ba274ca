import { type Clock, systemClock } from "./clock.ts";

/** Whether the promise settles within `timeoutMs`: resolves with `true` when it does, with `false` after the time. A rejection is passed on. */
export async function completesWithin(
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

/** Resolves with `true` after `timeMs`, or with `false` as soon as the signal aborts. */
export function sleep(
  timeMs: number,
  { signal, clock = systemClock }: { signal?: AbortSignal | undefined; clock?: Clock } = {},
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const abort = () => {
    cancel();
    resolve(false);
  };
  const cancel = clock.after(timeMs, () => {
    signal?.removeEventListener("abort", abort);
    resolve(true);
  });
  if (signal?.aborted) abort();
  else signal?.addEventListener("abort", abort, { once: true });
  return promise;
}
