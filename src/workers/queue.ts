/** The Worker's queue work: it consumes batches of user events, and sends the events that are left in the outbox. */
import type { ExecutionContext } from "cloudflare:workers";
import { activityConsumer } from "../service/activity_consumer.ts";
import { type Database, OwnerScope } from "../db/mod.ts";
import { logMessages } from "../service/failure_log.ts";
import { createDatabase } from "../library/create_database.ts";
import { createLog, type Log } from "../ops/log.ts";
import {
  consumeBatch,
  type QueueBatch,
  type QueueProducer,
  sweepEvents,
} from "../queue/cloudflare_queue.ts";
import { pruneKeys } from "../queue/prune.ts";
import { parseSettings } from "../settings/settings.ts";
import { loggedWaitUntil } from "./logged_wait_until.ts";

/** The binding of the queue. Without it, events stay in the outbox for a Deno process that consumes them. */
export function producerOf(bindings: Readonly<Record<string, unknown>>): QueueProducer | undefined {
  return bindings["USER_EVENTS"] as QueueProducer | undefined;
}

/**
 * Has a pool of its own, so that messages do not take connections from requests. Also with Durable Objects: a batch then
 * opens its own connection, as a request without objects does.
 */
export class QueueWorker {
  readonly #db: Database;
  readonly #log: Log;
  readonly #producer: QueueProducer | undefined;

  /** Throws `SettingsError`. */
  constructor(bindings: Readonly<Record<string, unknown>>) {
    const { database, queue, logLevel } = parseSettings(bindings);
    const pool = { ...database.pool, size: Math.max(1, queue.concurrency), maxOverflow: 0 };
    this.#db = createDatabase({ ...database, pool });
    this.#log = createLog(logLevel);
    this.#producer = producerOf(bindings);
  }

  /** Every message of the batch is acked or retried. The batch itself never fails. */
  async consume(batch: QueueBatch, ctx: ExecutionContext): Promise<void> {
    const onFailure = logMessages(this.#log);
    await this.#withDatabase(ctx, (db) => consumeBatch(batch, activityConsumer(db, { onFailure })));
  }

  /** Sends events that a crash or a failed dispatch left in the outbox, and prunes old message keys. */
  async sweep(ctx: ExecutionContext): Promise<void> {
    await this.#withDatabase(ctx, async (db) => {
      if (this.#producer !== undefined) await sweepEvents(db, this.#producer);
      await pruneKeys(db);
    });
  }

  /** Closes the connection through `waitUntil`, after the work and without delaying it. */
  async #withDatabase(ctx: ExecutionContext, work: (db: Database) => Promise<void>): Promise<void> {
    const scope = OwnerScope.request();
    const waitUntil = loggedWaitUntil((promise) => ctx.waitUntil(promise), this.#log);
    try {
      await work(this.#db.forOwner({ scope, waitUntil }));
    } finally {
      ctx.waitUntil(this.#db.endScope(scope));
    }
  }
}
