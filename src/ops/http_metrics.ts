import { Histogram, type HistogramStats } from "../db/mod.ts";
import type { Labels } from "./prometheus.ts";

export interface CompletedRequest {
  readonly method: string;
  /** The pattern that the path matched, such as `/users/:id`, never the path itself; `""` if none matched. */
  readonly route: string;
  readonly status: number;
  /** From the request's arrival to the head of the response. */
  readonly durationMs: number;
  /** For logs; not a label. */
  readonly requestId?: string | undefined;
}

/**
 * Any other method is counted as `_OTHER`, because a client can invent methods without limit.
 * https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
 */
const METHODS: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "TRACE",
]);

/** The method, if it is one of HTTP's own, as a label. */
export function knownMethod(method: string): string {
  return METHODS.has(method) ? method : "_OTHER";
}

/** Durations of requests by method, route and status. Each has few values, so that clients cannot create more series. */
export class HttpMetrics {
  readonly #times = new Map<string, readonly [Labels, Histogram]>();

  record({ method, route, status, durationMs }: CompletedRequest): void {
    const known = knownMethod(method);
    const key = `${known} ${status} ${route}`;
    let times = this.#times.get(key);
    if (times === undefined) {
      const labels = {
        http_request_method: known,
        http_response_status_code: String(status),
        ...(route === "" ? {} : { http_route: route }),
      };
      this.#times.set(key, times = [labels, new Histogram()]);
    }
    times[1].record(durationMs);
  }

  snapshot(): (readonly [Labels, HistogramStats])[] {
    return Array.from(
      this.#times.values(),
      ([labels, times]) => [labels, times.snapshot()] as const,
    );
  }
}
