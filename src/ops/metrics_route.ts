import type { Context, MiddlewareHandler } from "hono";
import { Hono } from "../hono.ts";
import type { DatabaseStats } from "../db/mod.ts";
import type { HttpMetrics } from "./http_metrics.ts";
import { metricsText, type QueueDepth } from "./metrics.ts";
import { PROMETHEUS_TYPE } from "./prometheus.ts";

export interface MetricsRouteOptions {
  readonly database: { stats(): DatabaseStats };
  readonly http: HttpMetrics;
  /** Called for each scrape, if there is a queue. If it fails, the queue's metrics are left out. */
  readonly queueDepth?: ((c: Context) => Promise<QueueDepth>) | undefined;
  /** Metrics that only this runtime has. */
  readonly more?: ((database: DatabaseStats) => string) | undefined;
  readonly guard: MiddlewareHandler;
}

/** `/metrics`, for Prometheus. */
export function metricsRoute(
  { database, http, queueDepth, more, guard }: MetricsRouteOptions,
): Hono {
  return new Hono().get("/metrics", guard, async (c) => {
    const queue = await queueDepth?.(c).catch(() => undefined);
    const stats = database.stats();
    const text = metricsText({ database: stats, http: http.snapshot(), queue });
    return c.body(text + (more?.(stats) ?? ""), 200, {
      "Content-Type": PROMETHEUS_TYPE,
      "Cache-Control": "no-store",
    });
  });
}
