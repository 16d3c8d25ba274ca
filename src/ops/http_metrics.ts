import { Histogram, type HistogramStats } from "../db/mod.ts";
import type { Labels } from "./prometheus.ts";

/** One request that was answered. */
export interface Answered {
  readonly method: string;
  /** The pattern that it matched, such as `/users/:id`, never its own path; `""` where there is none. */
  readonly route: string;
  readonly status: number;
  /** From its arrival to the head of its answer. */
  readonly durationMs: number;
  /** For logs. */
  readonly requestId?: string | undefined;
}

/** https://opentelemetry.io/docs/specs/semconv/http/http-metrics/: others are counted as one, as anybody can invent them. */
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

/** Requests by method, route and status: as many series as the service has of those, whatever it is asked. */
export class HttpMetrics {
  readonly #times = new Map<string, readonly [Labels, Histogram]>();

  record({ method, route, status, durationMs }: Answered): void {
    const known = METHODS.has(method) ? method : "_OTHER";
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
