/**
 * A token bucket for each client: it holds as many requests as the quota has, and is refilled at an even rate. Of each
 * client only one time is kept, when its bucket will be full again (the generic cell rate algorithm,
 * https://www.itu.int/rec/T-REC-I.371). No timer runs, because Workers cut those that outlive a request.
 */

import { BoundedMap } from "../../bounded_map.ts";

/** So many requests in each window, all at once or spread over it. */
export interface Quota {
  readonly requests: number;
  readonly windowMs: number;
}

export interface Verdict {
  readonly isAllowed: boolean;
  /** Requests that the client may still send at once. */
  readonly remaining: number;
  /** Until the bucket is full again; of a refused request, until the next one is allowed. */
  readonly resetMs: number;
}

/** Clients that are remembered, in some 2 MB. The one that has been silent for longest is forgotten for a further one. */
const CLIENTS_MAX = 10_000;

export class TokenBuckets {
  readonly #windowMs: number;
  /** In which one request is refilled. */
  readonly #intervalMs: number;
  readonly #now: () => number;
  /** When each bucket will be full, those of the clients that were silent for longest first. */
  readonly #fullAtMs = new BoundedMap<string, number>(CLIENTS_MAX);

  constructor(
    { requests, windowMs }: Quota,
    now: () => number = () => performance.now(),
  ) {
    this.#windowMs = windowMs;
    this.#intervalMs = windowMs / requests;
    this.#now = now;
  }

  /** Takes one request from the client's bucket, if it has one. */
  take(client: string): Verdict {
    const nowMs = this.#now();
    const isFullAtMs = Math.max(nowMs, this.#fullAtMs.get(client) ?? 0);
    // Rounding must not refuse the last request of a full bucket.
    const waitMs = isFullAtMs + this.#intervalMs - nowMs - this.#windowMs;
    if (waitMs > 1e-6 * this.#windowMs) {
      this.#fullAtMs.set(client, isFullAtMs);
      return { isAllowed: false, remaining: 0, resetMs: waitMs };
    }
    const nextMs = isFullAtMs + this.#intervalMs;
    this.#fullAtMs.set(client, nextMs);
    const leftMs = Math.max(0, this.#windowMs - (nextMs - nowMs));
    const remaining = Math.floor(leftMs / this.#intervalMs + 1e-6);
    return { isAllowed: true, remaining, resetMs: nextMs - nowMs };
  }
}
