/** Cross-origin requests of browsers. https://fetch.spec.whatwg.org/#http-cors-protocol */

import type { Context, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

const METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE"];

/** What a page may send beside the headers that any page may send. */
const REQUEST_HEADERS = [
  "Authorization",
  "Content-Type",
  "Idempotency-Key",
  "If-Match",
  "If-None-Match",
  "Request-Timeout",
  "X-Request-Id",
  "traceparent",
];

/** What a page may read beside the headers that any page may read. */
const RESPONSE_HEADERS = [
  "ETag",
  "Location",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "X-Request-Id",
];

/** How long a browser may remember the answer to a preflight. Chromium caps it at two hours. */
const MAX_AGE_S = 600;

/**
 * Middleware that lets pages of these origins, or of any with `*`, read the responses. It answers preflights itself, so
 * that it belongs before whatever asks for a token: a preflight has none. Never with credentials: the service knows no
 * cookies, and a page sends its token as a header.
 */
export function allowOrigins(origins: readonly string[]): MiddlewareHandler {
  const isAny = origins.includes("*");
  const byHono = cors({
    origin: isAny ? "*" : [...origins],
    allowMethods: METHODS,
    allowHeaders: REQUEST_HEADERS,
    exposeHeaders: RESPONSE_HEADERS,
    maxAge: MAX_AGE_S,
  });
  return function allowOrigin(c, next) {
    if (c.req.header("Origin") !== undefined && !isPlainOptions(c)) return byHono(c, next);
    // Only browsers send an origin. Others do not pay for copies of their responses.
    if (!isAny) c.header("Vary", "Origin");
    return next();
  };
}

/** Hono's middleware takes any OPTIONS for a preflight. One that is none gets its answer from the route. */
function isPlainOptions({ req }: Context): boolean {
  return req.method === "OPTIONS" && req.header("Access-Control-Request-Method") === undefined;
}
