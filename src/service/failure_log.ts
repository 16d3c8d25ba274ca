import type { Leak } from "../db/mod.ts";
import type { FailedRequest } from "../http/app.ts";
import type { Log } from "../ops/log.ts";
import type { MessageFailure } from "../queue/consumer.ts";

/** Logs failed requests, for `AppOptions.onFailure`. */
export function logFailures(log: Log): (request: FailedRequest) => void {
  return ({ error, ...request }) => {
    // Refusals of an overloaded service come in large numbers, and their stacks do not help: log one line without a stack.
    if (request.status === 500) log.error("request failed", { ...request, error });
    else log.warn("request refused", { ...request, reason: error.message, ...causeOf(error) });
  };
}

/** The error's message may be the text for clients, as when a Durable Object failed. The cause then has the reason. */
function causeOf({ cause }: Error): { cause?: string } {
  return cause instanceof Error ? { cause: cause.message } : {};
}

/** Logs connections that one unit of work has leased for longer than `DATABASE_LEAK_THRESHOLD`. */
export function logLeaks(log: Log): (leak: Leak) => void {
  return (leak) =>
    log.warn("connection leased for longer than DATABASE_LEAK_THRESHOLD", { ...leak });
}

/** Logs messages that failed. */
export function logMessages(log: Log): (failure: MessageFailure) => void {
  return ({ isDead, ...failure }) => {
    if (isDead) log.error("message moved to the dead letters", { ...failure });
    else log.warn("messages failed and will be retried", { ...failure });
  };
}
