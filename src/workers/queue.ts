/** The Worker's queue work: it consumes batches of user events, and sends the events that are left in the outbox. */
import type { ExecutionContext } from "cloudflare:workers";
import { activityConsumer } from "../service/activity_consumer.ts";
import { logMessages } from "../service/failure_log.ts";
import type { Databases } from "../library/workers/mod.ts";
import { DataPoints } from "../ops/data_points.ts";
import { createLog, type Log } from "../ops/log.ts";
import {
  consumeBatch,
  type QueueBatch,
  type QueueProducer,
  sweepEvents,
} from "../queue/cloudflare_queue.ts";
import { pruneKeys } from "../queue/prune.ts";
import { figuresObserver, noFigures } from "../request_figures.ts";
import type { Settings } from "../settings/settings.ts";
import type { Instrument, Instrumentation } from "./instrumentation.ts";
import { datasetOf, producerOf, serviceDatabases } from "./service.ts";
import { type Bindings, workerSettings } from "./settings.ts";

/**
 * Has a pool of its own, so that messages do not take connections from requests. Also with Durable Objects: a batch then
 * opens its own connection, as a request without objects does.
 */
export class QueueWorker {
  readonly #databases: Databases;
  readonly #log: Log;
  readonly #producer: QueueProducer | undefined;
  readonly #seen: Instrumentation;
  readonly #points: DataPoints | undefined;

  private constructor(
    { database, queue, logLevel }: Settings,
    { bindings, seen }: { bindings: Bindings; seen: Instrumentation },
  ) {
    const pool = { ...database.pool, size: Math.max(1, queue.concurrency), maxOverflow: 0 };
    this.#databases = serviceDatabases({ database: { ...database, pool }, logLevel }, seen);
    this.#log = createLog(logLevel, { context: seen.logFields });
    this.#seen = seen;
    this.#producer = producerOf(bindings);
    const dataset = datasetOf(bindings);
    this.#points = dataset &&
      new DataPoints({ dataset, database: this.#databases, log: this.#log });
  }

  /** Rejects with `SettingsError`. */
  static async start(bindings: Bindings, instrument: Instrument): Promise<QueueWorker> {
    const settings = await workerSettings(bindings);
    return new QueueWorker(settings, { bindings, seen: await instrument(bindings, settings) });
  }

  /** Every message of the batch is acked or retried. The batch itself never fails. */
  async consume(batch: QueueBatch, ctx: ExecutionContext): Promise<void> {
    const sinceMs = performance.now();
    const logFailure = logMessages(this.#log);
    const db = this.#databases.forRequest(ctx);
    const figures = noFigures();
    const observed = this.#points ? db.forRequest(figuresObserver(figures)) : db;
    const consumer = activityConsumer(observed, {
      onFailure: (failure) => {
        logFailure(failure);
        this.#seen.noteFailure(failure);
      },
    });
    const retried = await this.#seen.run(ctx, () =>
      consumeBatch(batch, {
        consume: this.#seen.consuming(batch.queue, consumer.consume),
        deadLetter: (delivery, error) => consumer.deadLetter(delivery, error),
      }));
    const { queue, messages: { length: messages } } = batch;
    const durationMs = performance.now() - sinceMs;
    this.#points?.writeBatch({ queue, messages, retried, durationMs }, figures);
  }

  /** Sends events that a crash or a failed dispatch left in the outbox, and prunes old message keys. */
  async sweep(ctx: ExecutionContext): Promise<void> {
    const db = this.#databases.forRequest(ctx);
    const producer = this.#producer;
    await this.#seen.run(ctx, async () => {
      if (producer !== undefined) await this.#seen.send(() => sweepEvents(db, producer));
      await pruneKeys(db);
    });
  }
}
