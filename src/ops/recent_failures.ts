import { DatabaseLayerError, ServerError } from "../db/mod.ts";

/** Requests that were answered alike, with 500 or above, as the pool page shows them. */
export interface RecentFailure {
  /** Of the last one, in milliseconds since 1970. */
  readonly timeMs: number;
  readonly status: number;
  /** Method and route, or path where there is none. */
  readonly request: string;
  /** Of the last one. */
  readonly requestId: string;
  /** Without anybody's values. */
  readonly reason: string;
  readonly count: number;
}

const MOST = 20;

/** The last failures, newest first; those of one request, status and class of error as one. */
export class RecentFailures {
  /** The newest last. */
  readonly #failures = new Map<string, RecentFailure>();

  add(
    { error, status, request, requestId }:
      & Omit<RecentFailure, "timeMs" | "reason" | "count">
      & { readonly error: Error },
  ): void {
    const key = `${status} ${request} ${error.name}`;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    this.#failures.delete(key);
    const [oldest] = this.#failures.keys();
    if (oldest !== undefined && this.#failures.size >= MOST) this.#failures.delete(oldest);
    const reason = reasonOf(error);
    this.#failures.set(key, { timeMs: Date.now(), status, request, requestId, reason, count });
  }

  list(): readonly RecentFailure[] {
    return [...this.#failures.values()].reverse();
  }
}

/** The server's own words may repeat a value, and an unexpected error's anything: of those the name must do. */
function reasonOf(error: Error): string {
  if (error instanceof ServerError) return `${error.name} ${error.sqlState}`;
  return error instanceof DatabaseLayerError ? `${error.name}: ${error.message}` : error.name;
}
