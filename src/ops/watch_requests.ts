import type { Context } from "hono";
import type { Step } from "../chain.ts";
import { routeOf } from "../hono.ts";
import type { CompletedRequest } from "./http_metrics.ts";

/**
 * Middleware that reports each request when the head of its response exists. Belongs in front of whatever may
 * answer. `onCompleted` must not throw.
 */
export function watchRequests(
  onCompleted: (request: CompletedRequest, c: Context) => void,
): Step {
  return function watchRequest(c, next) {
    const sinceMs = performance.now();
    return next().then(() =>
      onCompleted({
        method: c.req.method,
        route: routeOf(c),
        status: c.res.status,
        durationMs: performance.now() - sinceMs,
        requestId: c.get("requestId"),
      }, c)
    );
  };
}
