/** The headers of every response, whatever made it: the request's id, and those that protect the response. */

import type { Context } from "hono";
import type { Step } from "../chain.ts";

/**
 * https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
 *
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

const REQUEST_ID_HEADER = "X-Request-Id";

/** What a client may choose as the id of its request. */
const REQUEST_ID = /^[\w=-]{1,255}$/;

export interface ResponseHeadersOptions {
  /**
   * Where to set the headers of a response that is done. A server may have a cheaper place than the response's own; no other
   * server may then send the response.
   */
  readonly headersOf?: ((response: Response) => Headers) | undefined;
}

/**
 * Middleware that sets them, and `c.var.requestId`. Register it before all others. They are set on the response itself,
 * once it is made: of headers that are set before, Hono makes `Headers`, which each response that it makes copies. That is
 * why Hono's own middleware does neither here: `requestId` sets its header before, and `secureHeaders` sets no
 * `Cache-Control`.
 */
export function responseHeaders(
  { headersOf = ({ headers }) => headers }: ResponseHeadersOptions = {},
): Step {
  return function setResponseHeaders(c, next) {
    const requestId = requestIdOf(c.req.header(REQUEST_ID_HEADER));
    c.set("requestId", requestId);
    return next().then(() => {
      const headers = headersOf(c.res);
      headers.set(REQUEST_ID_HEADER, requestId);
      for (const [name, value] of DEFAULTS) if (!headers.has(name)) headers.set(name, value);
      if (isEncrypted(c)) headers.set("Strict-Transport-Security", TRANSPORT_SECURITY);
    });
  };
}

/** The same response, with these headers too. `c.header` sets them before the response is made, which costs more. */
export function withHeaders<R extends Response>(
  response: R,
  headers: Readonly<Record<string, string>>,
): R {
  for (const name in headers) response.headers.set(name, headers[name]!);
  return response;
}

/** The id that the client has chosen, by which it finds its request in the service's logs, or a new one. */
function requestIdOf(chosen: string | undefined): string {
  return chosen !== undefined && REQUEST_ID.test(chosen) ? chosen : crypto.randomUUID();
}

/**
 * Whether the client has used TLS, also if a proxy in front of the service ends it. A client that sends the
 * header itself over plain HTTP gets one that browsers ignore there: https://www.rfc-editor.org/rfc/rfc6797#section-8.1
 */
function isEncrypted(c: Context): boolean {
  return c.req.url.startsWith("https:") || c.req.header("X-Forwarded-Proto") === "https";
}
