import type { Log } from "../ops/log.ts";

/** Wraps the runtime's `waitUntil`: a rejection of the promise is logged. */
export function loggedWaitUntil(
  waitUntil: (promise: Promise<void>) => void,
  log: Log,
): (promise: Promise<void>) => void {
  return (promise) =>
    waitUntil(promise.catch((error) => log.error("background task failed", { error })));
}
