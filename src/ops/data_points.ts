/**
 * Metrics of all isolates together: one data point for each request, in a dataset of Cloudflare's Analytics Engine.
 * src/workers/README.md has the columns and queries.
 */
import type { DatabaseStats } from "../db/mod.ts";
import type { RequestFigures } from "../request_figures.ts";
import { type CompletedRequest, knownMethod } from "./http_metrics.ts";
import type { Log } from "./log.ts";

/** https://developers.cloudflare.com/analytics/analytics-engine/get-started/ */
export interface Dataset {
  /** Waits for nothing. */
  writeDataPoint(point: {
    /** The key by which the engine samples. */
    readonly indexes: readonly [string];
    readonly blobs: readonly string[];
    readonly doubles: readonly number[];
  }): void;
}

export interface DataPointsOptions {
  readonly dataset: Dataset;
  readonly database: { stats(): DatabaseStats };
  readonly log: Log;
}

/** Writes the data points of one isolate or one Durable Object. */
export class DataPoints {
  readonly #options: DataPointsOptions;
  /** The counters, as the last data point has reported them. */
  #reported: readonly number[] | undefined;

  constructor(options: DataPointsOptions) {
    this.#options = options;
  }

  /** Reports the request, what the pool has counted since the last one, and its state. Never throws. */
  write(
    { method, route, status, durationMs }: CompletedRequest,
    { databaseMs, waitMs, connectMs, flights, transactions, retries }: RequestFigures,
  ): void {
    const { dataset, database, log } = this.#options;
    const stats = database.stats();
    const counted = countersOf(stats);
    const reported = this.#reported;
    this.#reported = counted;
    const point = {
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
    } as const;
    try {
      dataset.writeDataPoint(point);
    } catch (error) {
      // The request may have committed a change, and must be answered so.
      log.warn("cannot write a data point", { error });
    }
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
