import type { Log } from "../ops/log.ts";

/** What need not be waited for goes to the runtime, and its failure to the log. */
export function loggedWaitUntil(
  waitUntil: (rest: Promise<void>) => void,
  log: Log,
): (rest: Promise<void>) => void {
  return (rest) => waitUntil(rest.catch((error) => log.error("deferred work failed", { error })));
}
