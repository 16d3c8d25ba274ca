/**
 * Refuses clients that send too many requests, before the database is touched, and tells the others what they have left:
 * `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers. Its earlier versions had three headers,
 * `RateLimit-Limit` and so on, which cannot tell two limits apart; the working group has dropped them.
 * https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */

import type { Context, MiddlewareHandler } from "hono";
import { ProblemError } from "../problem.ts";
import { type Quota, TokenBuckets, type Verdict } from "./token_buckets.ts";

export interface RateLimitOptions {
  /** Names the policy in the headers. */
  readonly name: "address" | "token";
  readonly quota: Quota;
  /** Whose quota a request is taken from; `undefined` if from none. */
  readonly clientOf: (c: Context) => string | undefined;
}

/** Middleware that limits the requests of each client. It counts those of this isolate, or of this Durable Object. */
export function rateLimit({ name, quota, clientOf }: RateLimitOptions): MiddlewareHandler {
  const buckets = new TokenBuckets(quota);
  const policy = `"${name}";q=${quota.requests};w=${quota.windowMs / 1_000}`;
  return function limitRate(c, next) {
    const client = clientOf(c);
    if (client === undefined) return next();
    const verdict = buckets.take(client);
    const limit = `"${name}";r=${verdict.remaining};t=${seconds(verdict.resetMs)}`;
    if (!verdict.isAllowed) throw refusal(verdict, { name, quota, policy, limit });
    return next().then(() => {
      c.res.headers.append("RateLimit-Policy", policy);
      c.res.headers.append("RateLimit", limit);
    });
  };
}

function refusal(
  { resetMs }: Verdict,
  { name, quota, policy, limit }: {
    readonly name: string;
    readonly quota: Quota;
    readonly policy: string;
    readonly limit: string;
  },
): ProblemError {
  return new ProblemError("rate-limited", {
    detail: `Cannot serve the request as this ${name} has sent too many: current limit is ` +
      `${quota.requests} in ${quota.windowMs / 1_000} s; try again after Retry-After`,
    headers: {
      "Retry-After": String(Math.max(1, seconds(resetMs))),
      "RateLimit-Policy": policy,
      "RateLimit": limit,
    },
  });
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
