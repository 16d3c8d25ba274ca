/** Middleware of `deno task dev`: only this machine's own names may reach the service. */
import type { MiddlewareHandler } from "hono";
import { problem, respondWithProblem } from "../http/problem.ts";
import { isLoopbackHeader, isLoopbackHost } from "../library/loopback.ts";

/**
 * Refuses each request whose Host is not loopback by 400. A site can let its own name resolve to 127.0.0.1 (DNS
 * rebinding): its pages then read and write users as if the service were that site, and no CORS header is needed. Such
 * requests carry the site's name as Host. The request's URL is checked too, as a target such as
 * `GET http://name/users` takes the place of the header: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
 */
export function loopbackHosts(): MiddlewareHandler {
  return async function refuseForeignHosts(c, next) {
    const host = c.req.header("host");
    const url = URL.parse(c.req.url);
    if (isLoopbackHeader(host) && url !== null && isLoopbackHost(url.hostname)) return await next();
    const detail = `Cannot serve this Host as "deno task dev" serves only this machine's names: ` +
      `current value ${JSON.stringify(host ?? "")}; use localhost or 127.0.0.1`;
    return respondWithProblem(c, problem("malformed-request", { detail }));
  };
}
