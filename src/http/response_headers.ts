/** The headers that protect every response, whatever made it: https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html */

import type { Context, MiddlewareHandler } from "hono";

/**
 * A route whose response has one of them keeps its own: a page sets the policy that lets it run, and what may be cached
 * says so. Nothing that the API answers is a page, and all of it is about one client's users.
 */
export const PROTECTIVE_HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
} as const;

const DEFAULTS = Object.entries(PROTECTIVE_HEADERS);

/** 180 days. Not for subdomains, about which this service knows nothing. https://www.rfc-editor.org/rfc/rfc6797#section-6.1 */
const TRANSPORT_SECURITY = "max-age=15552000";

/**
 * Middleware that sets them. Register it before all others. They are set on the response itself, once it is made: a
 * header that is set before is copied with each response that Hono makes on the way. Hono's `secureHeaders` sets no
 * `Cache-Control`, and would be a kilobyte of the Worker's bundle.
 */
export function responseHeaders(): MiddlewareHandler {
  return function setResponseHeaders(c, next) {
    return next().then(() => {
      const { headers } = c.res;
      for (const [name, value] of DEFAULTS) if (!headers.has(name)) headers.set(name, value);
      if (isEncrypted(c)) headers.set("Strict-Transport-Security", TRANSPORT_SECURITY);
    });
  };
}

/**
 * Whether the client has used TLS, also if a proxy in front of the service ends it. A client that sends the
 * header itself over plain HTTP gets one that browsers ignore there: https://www.rfc-editor.org/rfc/rfc6797#section-8.1
 */
function isEncrypted(c: Context): boolean {
  return c.req.url.startsWith("https:") || c.req.header("X-Forwarded-Proto") === "https";
}
