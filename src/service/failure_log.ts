import type { Leak } from "../db/mod.ts";
import type { FailedRequest } from "../http/app.ts";
import type { Log } from "../ops/log.ts";
import type { MessageFailure } from "../queue/consumer.ts";

/** What every entry logs of requests that failed, for `AppOptions.onFailure`. */
export function logFailures(log: Log): (request: FailedRequest) => void {
  return ({ error, ...request }) => {
    // What passes by itself comes in floods, and its stack tells nothing.
    if (request.status === 500) log.error("request failed", { ...request, error });
    else log.warn("request refused", { ...request, reason: error.message, ...causeOf(error) });
  };
}

/** The reason may be only what a client is told, as where an object has failed. */
function causeOf({ cause }: Error): { cause?: string } {
  return cause instanceof Error ? { cause: cause.message } : {};
}

/** What every entry logs of connections that are in use for too long. */
export function logLeaks(log: Log): (leak: Leak) => void {
  return (leak) => log.warn("a connection has been in use for long", { ...leak });
}

/** What every entry logs of messages that failed. */
export function logMessages(log: Log): (failure: MessageFailure) => void {
  return ({ isDead, ...failure }) => {
    if (isDead) log.error("message given up", { ...failure });
    else log.warn("messages failed", { ...failure });
  };
}
