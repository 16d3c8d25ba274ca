/**
 * Metrics of all isolates together: one data point for each request, in a dataset of Cloudflare's Analytics Engine.
 * src/workers/README.md has the columns and queries.
 */
import type { DatabaseStats } from "../db/mod.ts";
import type { RequestFigures } from "../request_figures.ts";
import { type CompletedRequest, knownMethod } from "./http_metrics.ts";

/** https://developers.cloudflare.com/analytics/analytics-engine/get-started/ */
export interface Dataset {
  /** Neither waits nor throws. */
  writeDataPoint(point: {
    /** The key by which the engine samples. */
    readonly indexes: readonly [string];
    readonly blobs: readonly string[];
    readonly doubles: readonly number[];
  }): void;
}

/** Writes the data points of one isolate or one Durable Object. */
export class DataPoints {
  readonly #dataset: Dataset;
  readonly #database: { stats(): DatabaseStats };
  /** The counters, as the last data point has reported them. */
  #reported: readonly number[] | undefined;

  constructor(dataset: Dataset, database: { stats(): DatabaseStats }) {
    this.#dataset = dataset;
    this.#database = database;
  }

  /** Reports the request, what the pool has counted since the last one, and its state. */
  write(
    { method, route, status, durationMs }: CompletedRequest,
    { databaseMs, waitMs, connectMs, flights, transactions, retries }: RequestFigures,
  ): void {
    const stats = this.#database.stats();
    const counted = countersOf(stats);
    const reported = this.#reported;
    this.#reported = counted;
    this.#dataset.writeDataPoint({
      indexes: [route],
      blobs: [knownMethod(method), route, String(status)],
      doubles: [
        durationMs,
        databaseMs,
        waitMs,
        connectMs,
        flights,
        transactions,
        retries,
        ...counted.map((count, index) => count - (reported?.[index] ?? 0)),
        stats.leased + stats.opening,
        stats.idle,
        stats.waiting,
      ],
    });
  }
}

function countersOf({ counters, lost, unknown, budgetDenied }: DatabaseStats): number[] {
  return [
    counters.acquired,
    counters.connected,
    counters.connectFailed,
    counters.broken + counters.destroyed + counters.leftState + counters.expired,
    counters.timedOut,
    counters.queueFull + counters.shed,
    counters.unreachable,
    budgetDenied,
    lost,
    unknown,
  ];
}
