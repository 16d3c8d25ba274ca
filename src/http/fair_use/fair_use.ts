/** What one client may ask for, as middleware. */

import type { Context, MiddlewareHandler } from "hono";
import type { Identity } from "../../access/identity.ts";
import { rateLimit } from "./rate_limit.ts";
import { requestsAtOnce } from "./requests_at_once.ts";
import type { Quota } from "./token_buckets.ts";

export interface FairUseOptions {
  /** Of the requests that ask for a token, with a right one or not. */
  readonly perAddress?: Quota | undefined;
  readonly perToken?: Quota | undefined;
  /** Requests of one token that run at once. */
  readonly maxAtOnce?: number | undefined;
  /** The address of a request's client; `undefined` if nothing tells it. Required with `perAddress`. */
  readonly addressOf?: ((c: Context) => string | undefined) | undefined;
}

export interface FairUse {
  /** Belongs before the middleware that asks for a token, which guesses cost more than this. */
  readonly byAddress: readonly MiddlewareHandler[];
  /** Belongs behind it. */
  readonly byToken: readonly MiddlewareHandler[];
}

/** Without a limit there is no middleware for it. */
export function fairUse(
  { perAddress, perToken, maxAtOnce, addressOf }: FairUseOptions,
): FairUse {
  const byAddress: MiddlewareHandler[] = [];
  const byToken: MiddlewareHandler[] = [];
  if (perAddress !== undefined && addressOf !== undefined) {
    byAddress.push(rateLimit({ name: "address", quota: perAddress, clientOf: addressOf }));
  }
  if (perToken !== undefined) {
    byToken.push(rateLimit({ name: "token", quota: perToken, clientOf: tokenOf }));
  }
  if (maxAtOnce !== undefined) {
    byToken.push(requestsAtOnce({ max: maxAtOnce, clientOf: tokenOf }));
  }
  return { byAddress, byToken };
}

function tokenOf(c: Context): string {
  const { client }: Identity = c.get("identity");
  return client;
}
