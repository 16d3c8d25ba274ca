/** Cross-origin requests of browsers. https://fetch.spec.whatwg.org/#http-cors-protocol */

import type { MiddlewareHandler } from "hono";

/** The answer to a preflight, beside the origin. A browser may keep it for ten minutes. */
const PREFLIGHT = {
  "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
  "Access-Control-Allow-Headers":
    "Authorization, Content-Type, Database-Position, Idempotency-Key, " +
    "If-Match, If-None-Match, Request-Timeout, X-Request-Id, traceparent",
  "Access-Control-Max-Age": "600",
};

/** What a page may read beside the headers that any page may read. */
const EXPOSED =
  "Database-Position, ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, " +
  "WWW-Authenticate, X-Request-Id";

/**
 * Middleware that lets pages of these origins, or of any with `*`, read the responses. It answers preflights itself, so
 * that it belongs before whatever asks for a token: a preflight has none. Never with credentials: the service knows no
 * cookies, and a page sends its token as a header.
 *
 * Hono's `cors` sets its headers before the response is made, which is then copied: some 30 µs for each request of a page,
 * where this takes one or two.
 */
export function allowOrigins(origins: readonly string[]): MiddlewareHandler {
  const isAny = origins.includes("*");
  const allowed = new Set(origins);
  /** The headers that every answer to a request of `origin` has. */
  const allow = (headers: Headers, origin: string | undefined) => {
    if (isAny) headers.set("Access-Control-Allow-Origin", "*");
    else {
      // Also without an origin: a cache must not give that answer to a page.
      headers.append("Vary", "Origin");
      if (origin === undefined || !allowed.has(origin)) return false;
      headers.set("Access-Control-Allow-Origin", origin);
    }
    return true;
  };
  return function allowOrigin(c, next) {
    const origin = c.req.header("Origin");
    const isPreflight = c.req.method === "OPTIONS" && origin !== undefined &&
      c.req.header("Access-Control-Request-Method") !== undefined;
    if (isPreflight) {
      const response = c.body(null, 204);
      if (allow(response.headers, origin)) {
        for (const [name, value] of Object.entries(PREFLIGHT)) response.headers.set(name, value);
      }
      return Promise.resolve(response);
    }
    return next().then(() => {
      const { headers } = c.res;
      if (allow(headers, origin)) headers.set("Access-Control-Expose-Headers", EXPOSED);
    });
  };
}
