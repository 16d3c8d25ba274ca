/** Access control for `/metrics` and `/ops`. */
import type { Context, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { bearerToken } from "../access/bearer.ts";
import { AccessRefusedError } from "../access/identity.ts";
import { isLoopbackHost } from "../library/loopback.ts";
import type { Guesses } from "./guesses.ts";
import type { Operators } from "./operators.ts";

export interface GuardOptions {
  /** Without them the guarded addresses do not exist. */
  readonly operators: Operators | undefined;
  /**
   * Without it, wrong tokens are neither counted nor logged: on Workers, where a client's requests reach many isolates,
   * Cloudflare's rate limiting rules do that.
   */
  readonly guesses?: Guesses;
  /** Whether the request needs no bearer token, for example because it has a sign-in cookie. */
  readonly isTrusted?: (c: Context) => boolean | Promise<boolean>;
}

/** https://www.rfc-editor.org/rfc/rfc6750#section-3.1 */
const LACKS_SCOPE = new Response(null, {
  status: 403,
  headers: { "WWW-Authenticate": 'Bearer error="insufficient_scope", scope="ops"' },
});

/**
 * Middleware that lets only operators pass: 401 without a token, 403 with one of another client, 429 after too many wrong
 * ones, 404 if there are no operators. Hono's own bearer-auth would read the header by other rules than `src/access`.
 */
export function guard(
  { operators, guesses, isTrusted = () => false }: GuardOptions,
): MiddlewareHandler {
  return async function guardOps(c, next) {
    if (await isTrusted(c)) return await next();
    if (operators === undefined) return c.notFound();
    const token = bearerToken(c.req.header("Authorization"));
    let isClient = false;
    const isKnown = async () => {
      const owner = await operators(token);
      isClient = owner === "client";
      return owner !== "unknown";
    };
    const isAccepted = await (guesses === undefined ? isKnown() : guesses.check(c, isKnown));
    if (isClient) throw new HTTPException(403, { res: LACKS_SCOPE.clone() });
    if (!isAccepted) {
      throw new AccessRefusedError(
        "invalid",
        "Cannot accept the token as no operator has it: current value is not shown; use OPS_TOKEN, or a token with the " +
          "scope ops",
      );
    }
    return await next();
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
