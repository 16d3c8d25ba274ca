/** Access control for `/metrics` and `/ops`. */
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { timingSafeEqual } from "hono/utils/buffer";
import { isLoopbackHost } from "../library/loopback.ts";
import type { Guesses } from "./guesses.ts";

export interface GuardOptions {
  /** `OPS_TOKEN`. Without it the guarded addresses do not exist. */
  readonly token: string | undefined;
  /**
   * Without it, wrong tokens are neither counted nor logged: on Workers, where a client's requests reach many isolates,
   * Cloudflare's rate limiting rules do that.
   */
  readonly guesses?: Guesses;
  /** Whether the request needs no bearer token, for example because it has a sign-in cookie. */
  readonly isTrusted?: (c: Context) => boolean | Promise<boolean>;
}

/**
 * Middleware that lets only operators pass: 401 without the right token, 429 after too many wrong ones, 404 if no token
 * is set.
 */
export function guard(
  { token, guesses, isTrusted = () => false }: GuardOptions,
): MiddlewareHandler {
  const byToken = token === undefined ? undefined : bearerAuth({
    verifyToken(given, c) {
      const isRight = () => timingSafeEqual(given, token);
      return guesses === undefined ? isRight() : guesses.check(c, isRight);
    },
  });
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
  // `new URL` would throw for a client's invalid Host header, which some servers copy into the URL.
  const hostname = URL.parse(c.req.url)?.hostname ?? "";
  const isProxied = ["Forwarded", "X-Forwarded-For", "Via"].some((name) => c.req.header(name));
  return isLoopbackHost(hostname) && isLoopbackHost(peer) && !isProxied;
}
