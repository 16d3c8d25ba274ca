import type { FailedRequest } from "./http/app.ts";
import type { Log } from "./ops/log.ts";

/** What every entry logs of requests that failed, for `AppOptions.onFailure`. */
export function logFailures(log: Log): (request: FailedRequest) => void {
  return ({ error, ...request }) => {
    // What passes by itself comes in floods, and its stack tells nothing.
    if (request.status === 500) log.error("request failed", { ...request, error });
    else log.warn("request refused", { ...request, reason: error.message });
  };
}
