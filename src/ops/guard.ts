/** Who may see how the service does. */
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";

export interface GuardOptions {
  /** `OPS_TOKEN`. Without it there is nothing to see. */
  readonly token: string | undefined;
  /** Whether the request needs no token, or has shown it already in another way. */
  readonly isTrusted?: (c: Context) => boolean | Promise<boolean>;
}

/** Middleware before what only operators may see: 401 without the token, 404 where none is set. */
export function guard({ token, isTrusted = () => false }: GuardOptions): MiddlewareHandler {
  const byToken = token === undefined ? undefined : bearerAuth({ token });
  return async function guardOps(c, next) {
    if (await isTrusted(c)) return await next();
    return byToken === undefined ? c.notFound() : await byToken(c, next);
  };
}

/**
 * Whether a request comes from `peer`, this machine, and asks for it by a name of its own: a page from elsewhere cannot,
 * whatever its name resolves to. What a proxy on this machine passes on comes from elsewhere.
 */
export function isLoopback(c: Context, peer: string): boolean {
  const { hostname } = new URL(c.req.url);
  const isPassedOn = ["Forwarded", "X-Forwarded-For", "Via"].some((name) => c.req.header(name));
  return isLoopbackName(hostname) && isLoopbackName(peer) && !isPassedOn;
}

/** Addresses of IPv6 in brackets, as in URLs, or bare, as of peers. */
function isLoopbackName(name: string): boolean {
  return name === "localhost" || /^(?:\[?::1\]?|(?:::ffff:)?127(?:\.\d{1,3}){3})$/.test(name);
}
