/** The Worker's queue work: it consumes batches of user events, and sends the events that are left in the outbox. */
import type { ExecutionContext } from "cloudflare:workers";
import { activityConsumer } from "../service/activity_consumer.ts";
import { logMessages } from "../service/failure_log.ts";
import type { Databases } from "../library/workers/mod.ts";
import { createLog, type Log } from "../ops/log.ts";
import {
  consumeBatch,
  type QueueBatch,
  type QueueProducer,
  sweepEvents,
} from "../queue/cloudflare_queue.ts";
import { pruneKeys } from "../queue/prune.ts";
import type { Settings } from "../settings/settings.ts";
import { producerOf, serviceDatabases } from "./service.ts";
import { type Bindings, workerSettings } from "./settings.ts";

/**
 * Has a pool of its own, so that messages do not take connections from requests. Also with Durable Objects: a batch then
 * opens its own connection, as a request without objects does.
 */
export class QueueWorker {
  readonly #databases: Databases;
  readonly #log: Log;
  readonly #producer: QueueProducer | undefined;

  private constructor({ database, queue, logLevel }: Settings, bindings: Bindings) {
    const pool = { ...database.pool, size: Math.max(1, queue.concurrency), maxOverflow: 0 };
    this.#databases = serviceDatabases({ database: { ...database, pool }, logLevel });
    this.#log = createLog(logLevel);
    this.#producer = producerOf(bindings);
  }

  /** Rejects with `SettingsError`. */
  static async start(bindings: Bindings): Promise<QueueWorker> {
    return new QueueWorker(await workerSettings(bindings), bindings);
  }

  /** Every message of the batch is acked or retried. The batch itself never fails. */
  async consume(batch: QueueBatch, ctx: ExecutionContext): Promise<void> {
    const onFailure = logMessages(this.#log);
    const db = this.#databases.forRequest(ctx);
    await consumeBatch(batch, activityConsumer(db, { onFailure }));
  }

  /** Sends events that a crash or a failed dispatch left in the outbox, and prunes old message keys. */
  async sweep(ctx: ExecutionContext): Promise<void> {
    const db = this.#databases.forRequest(ctx);
    if (this.#producer !== undefined) await sweepEvents(db, this.#producer);
    await pruneKeys(db);
  }
}
