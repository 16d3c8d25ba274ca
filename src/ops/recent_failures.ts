import { BoundedMap } from "../bounded_map.ts";
import { DatabaseLayerError, ServerError } from "../db/mod.ts";

/** Requests that failed in the same way, with status 500 or above, as the pool page shows them. */
export interface RecentFailure {
  /** When the latest of them failed, in milliseconds since 1970. */
  readonly timeMs: number;
  readonly status: number;
  /** Method and route. */
  readonly request: string;
  /** Of the latest of them. */
  readonly requestId: string;
  /** Contains no values of requests or rows. */
  readonly reason: string;
  readonly count: number;
}

const MAX_FAILURES = 20;

/** The latest failures. Those with the same request, status and error class are one entry. */
export class RecentFailures {
  /** In the order of their latest failure, oldest first. */
  readonly #failures = new BoundedMap<string, RecentFailure>(MAX_FAILURES);

  add(
    { error, status, request, requestId }:
      & Omit<RecentFailure, "timeMs" | "reason" | "count">
      & { readonly error: Error },
  ): void {
    const key = `${status} ${request} ${error.name}`;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const reason = reasonOf(error);
    this.#failures.set(key, { timeMs: Date.now(), status, request, requestId, reason, count });
  }

  /** Newest first. */
  list(): readonly RecentFailure[] {
    return [...this.#failures.values()].reverse();
  }
}

/**
 * Only messages of the connection layer's own errors are shown. A server's message may repeat a value, and the message
 * of an unexpected error may contain anything, so that these are shown by name.
 */
function reasonOf(error: Error): string {
  if (error instanceof ServerError) return `${error.name} ${error.sqlState}`;
  return error instanceof DatabaseLayerError ? `${error.name}: ${error.message}` : error.name;
}
