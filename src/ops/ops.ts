/** What a service keeps of itself for its operators, and how they see it. Runs on every runtime. */
import { Hono, type MiddlewareHandler } from "hono";
import type { DatabaseStats, PoolView } from "../db/mod.ts";
import { eventStream } from "./event_stream.ts";
import { History, SAMPLE_EVERY_MS } from "./history.ts";
import { HttpMetrics } from "./http_metrics.ts";
import { metricsText, type QueueDepth } from "./metrics.ts";
import { PROMETHEUS_TYPE } from "./prometheus.ts";
import { RecentFailures } from "./recent_failures.ts";
import { sampleOf, type Snapshot, snapshotOf } from "./snapshot.ts";

export interface OpsOptions {
  readonly database: { stats(): DatabaseStats; inspect(): PoolView };
  /** Asked at each `/metrics`, if there is a queue. Where it fails, the rest is told all the same. */
  readonly queueDepth?: (() => Promise<QueueDepth>) | undefined;
}

export class Ops {
  readonly http = new HttpMetrics();
  readonly failures = new RecentFailures();
  readonly #history = new History();
  readonly #options: OpsOptions;

  constructor(options: OpsOptions) {
    this.#options = options;
  }

  async metricsText(): Promise<string> {
    const { database, queueDepth } = this.#options;
    const queue = await queueDepth?.().catch(() => undefined);
    return metricsText({ database: database.stats(), http: this.http.snapshot(), queue });
  }

  snapshot(): Snapshot {
    const { database } = this.#options;
    const failures = this.failures.list();
    return snapshotOf({ stats: database.stats(), view: database.inspect(), failures }, Date.now());
  }

  /** Keeps a sample every second until it is disposed of. For runtimes where timers outlive requests. */
  keepHistory(): Disposable {
    const timer = setInterval(
      () => this.#history.add(sampleOf(this.#options.database.stats(), Date.now())),
      SAMPLE_EVERY_MS,
    );
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** `/metrics` and `/ops/events`, behind the guard. `ending` ends the streams. */
  routes({ guard, ending }: { guard: MiddlewareHandler; ending?: AbortSignal }): Hono {
    return new Hono()
      .get("/metrics", guard, async (c) => {
        const headers = { "Content-Type": PROMETHEUS_TYPE, "Cache-Control": "no-store" };
        return c.body(await this.metricsText(), 200, headers);
      })
      .get("/ops/events", guard, () => this.#events(ending));
  }

  #events(signal: AbortSignal | undefined): Response {
    return eventStream({
      first: { history: this.#history.list() },
      name: "snapshot",
      take: () => this.snapshot(),
      everyMs: SAMPLE_EVERY_MS,
      signal,
    });
  }
}
