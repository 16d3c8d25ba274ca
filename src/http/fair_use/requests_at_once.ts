/**
 * Bounds the requests of one token that run at once, from all addresses. On Deno, `src/deno/client_turns.ts` shares the
 * process among addresses besides: there a request waits for its turn. On Workers none may wait for another, since one
 * that the runtime has ended would never wake it, so that here it is refused.
 */

import type { Context, MiddlewareHandler } from "hono";
import { ProblemError } from "../problem.ts";

/** A place that is not given back by then belongs to a request that the runtime has ended. No other runs for so long. */
const PLACE_EXPIRES_MS = 120_000;

export interface RequestsAtOnceOptions {
  readonly max: number;
  /** Whose requests are counted together. */
  readonly clientOf: (c: Context) => string;
  readonly now?: () => number;
}

/** Middleware that refuses further requests of a client while `max` of its requests run. */
export function requestsAtOnce(
  { max, clientOf, now = () => performance.now() }: RequestsAtOnceOptions,
): MiddlewareHandler {
  /** The running requests of each client, with the time at which they began; the oldest first. */
  const running = new Map<string, Map<symbol, number>>();
  return function limitRequestsAtOnce(c, next) {
    const client = clientOf(c);
    let places = running.get(client);
    if (places === undefined) running.set(client, places = new Map());
    const nowMs = now();
    if (places.size >= max) dropExpired(places, nowMs);
    if (places.size >= max) throw refusal(max);
    const place = Symbol();
    places.set(place, nowMs);
    return next().finally(() => {
      places.delete(place);
      if (places.size === 0 && running.get(client) === places) running.delete(client);
    });
  };
}

function dropExpired(places: Map<symbol, number>, nowMs: number): void {
  for (const [place, sinceMs] of places) {
    if (nowMs - sinceMs < PLACE_EXPIRES_MS) return;
    places.delete(place);
  }
}

function refusal(max: number): ProblemError {
  return new ProblemError("too-many-at-once", {
    detail: `Cannot serve the request as ${max} requests of this token are running, which is its ` +
      "limit; send it when one of them is answered",
    headers: { "Retry-After": "1" },
  });
}
