/** Access control for `/metrics` and `/ops`. */
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { isLoopbackHost } from "../settings/loopback.ts";

export interface GuardOptions {
  /** `OPS_TOKEN`. Without it the guarded addresses do not exist. */
  readonly token: string | undefined;
  /** Whether the request needs no bearer token, for example because it has a sign-in cookie. */
  readonly isTrusted?: (c: Context) => boolean | Promise<boolean>;
}

/** Middleware that lets only operators pass: 401 without the right token, 404 if no token is set. */
export function guard({ token, isTrusted = () => false }: GuardOptions): MiddlewareHandler {
  const byToken = token === undefined ? undefined : bearerAuth({ token });
  return async function guardOps(c, next) {
    if (await isTrusted(c)) return await next();
    return byToken === undefined ? c.notFound() : await byToken(c, next);
  };
}

/**
 * Whether a request comes from this machine: both the peer's address and the Host header must be loopback. The Host
 * check stops DNS rebinding: a page of another site, whose name resolves to this machine, sends that site's name. A
 * request that a proxy on this machine forwards counts as remote.
 */
export function isLoopback(c: Context, peer: string): boolean {
  const { hostname } = new URL(c.req.url);
  const isProxied = ["Forwarded", "X-Forwarded-For", "Via"].some((name) => c.req.header(name));
  return isLoopbackHost(hostname) && isLoopbackHost(peer) && !isProxied;
}
