/**
 * Metrics of all isolates together: one data point for each request, and one for each batch of a queue, in a dataset of
 * Cloudflare's Analytics Engine.
 * src/workers/README.md has the columns and queries.
 */
import type { DatabaseTotals } from "../db/mod.ts";
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
  readonly database: { totals(): DatabaseTotals };
  readonly log: Log;
}

/** A batch of messages, all of which have an outcome. */
export interface CompletedBatch {
  /** The queue's name. */
  readonly queue: string;
  readonly messages: number;
  /** Of them, those that come again. */
  readonly retried: number;
  readonly durationMs: number;
}

/** In place of a request's method. */
const BATCH = "QUEUE";

/** Writes the data points of one isolate or one Durable Object. */
export class DataPoints {
  readonly #options: DataPointsOptions;
  /** The counters, as the last data point has reported them. */
  #reported: readonly number[] | undefined;

  constructor(options: DataPointsOptions) {
    this.#options = options;
  }

  /** Reports the request, what the pool has counted since the last data point, and its state. Never throws. */
  write({ method, route, status, durationMs }: CompletedRequest, figures: RequestFigures): void {
    this.#write([knownMethod(method), route, `${status}`, "", ""], durationMs, figures);
  }

  /** The same for a batch. */
  writeBatch(
    { queue, messages, retried, durationMs }: CompletedBatch,
    figures: RequestFigures,
  ): void {
    this.#write([BATCH, queue, "", `${messages}`, `${retried}`], durationMs, figures);
  }

  #write(
    blobs: readonly [method: string, route: string, ...string[]],
    durationMs: number,
    { databaseMs, waitMs, connectMs, flights, transactions, retries }: RequestFigures,
  ): void {
    const { dataset, database, log } = this.#options;
    const totals = database.totals();
    const counted = countersOf(totals);
    const reported = this.#reported;
    this.#reported = counted;
    const point = {
      indexes: [blobs[1]],
      blobs,
      doubles: [
        durationMs,
        databaseMs,
        waitMs,
        connectMs,
        flights,
        transactions,
        retries,
        ...counted.map((count, index) => count - (reported?.[index] ?? 0)),
        totals.leased + totals.opening,
        totals.idle,
        totals.waiting,
      ],
    } as const;
    try {
      dataset.writeDataPoint(point);
    } catch (error) {
      // The request may have committed a change, and must be answered so; a batch must not fail after its effects.
      log.warn("cannot write a data point", { error });
    }
  }
}

function countersOf({ counters, lost, unknown, budgetDenied }: DatabaseTotals): number[] {
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
