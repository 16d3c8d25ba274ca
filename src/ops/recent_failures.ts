import { DatabaseLayerError, ServerError } from "../db/mod.ts";

/** A request that was answered with 500 or above, as the pool page shows it. */
export interface RecentFailure {
  /** In milliseconds since 1970. */
  readonly timeMs: number;
  readonly status: number;
  /** Method and route, or path where there is none. */
  readonly request: string;
  readonly requestId: string;
  /** Without anybody's values. */
  readonly reason: string;
}

const MOST = 20;

/** The last failures, newest first. */
export class RecentFailures {
  readonly #failures: RecentFailure[] = [];

  add(
    { error, ...failure }: Omit<RecentFailure, "timeMs" | "reason"> & { readonly error: Error },
  ): void {
    this.#failures.unshift({ ...failure, timeMs: Date.now(), reason: reasonOf(error) });
    this.#failures.length = Math.min(this.#failures.length, MOST);
  }

  list(): readonly RecentFailure[] {
    return this.#failures.slice();
  }
}

/** The server's own words may repeat a value, and an unexpected error's anything: of those the name must do. */
function reasonOf(error: Error): string {
  if (error instanceof ServerError) return `${error.name} ${error.sqlState}`;
  return error instanceof DatabaseLayerError ? `${error.name}: ${error.message}` : error.name;
}
