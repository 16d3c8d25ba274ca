import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Answered } from "./http_metrics.ts";

/** Middleware that tells of each answer, when its head is there. Goes in front of all others. */
export function watchRequests(onAnswer: (answered: Answered) => void): MiddlewareHandler {
  return async function watchRequest(c, next) {
    const sinceMs = performance.now();
    await next();
    onAnswer({
      method: c.req.method,
      route: routeOf(routePath(c, -1)),
      status: c.res.status,
      durationMs: performance.now() - sinceMs,
      requestId: c.get("requestId"),
    });
  };
}

/** What has no route of its own matched the middleware's only. */
function routeOf(pattern: string): string {
  return pattern === "/*" || pattern === "*" ? "" : pattern;
}
