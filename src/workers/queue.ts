/** What a Worker does besides answering requests: it takes messages, and sends what is left in the outbox. */
import type { ExecutionContext } from "cloudflare:workers";
import { activityConsumer } from "../service/activity_consumer.ts";
import { type Database, OwnerScope } from "../db/mod.ts";
import { logMessages } from "../service/failure_log.ts";
import { openDatabase } from "../service/open_database.ts";
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

/** The binding of the queue, if there is one: without it, events stay for a process that takes them itself. */
export function producerOf(bindings: Readonly<Record<string, unknown>>): QueueProducer | undefined {
  return bindings["USER_EVENTS"] as QueueProducer | undefined;
}

/**
 * With a pool of its own, as messages must not take the requests' connections; also where requests are answered by
 * objects: a batch is as a request that opens its own.
 */
export class QueueWorker {
  readonly #db: Database;
  readonly #log: Log;
  readonly #producer: QueueProducer | undefined;

  /** Throws `SettingsError`. */
  constructor(bindings: Readonly<Record<string, unknown>>) {
    const { database, queue, logLevel } = parseSettings(bindings);
    const pool = { ...database.pool, size: Math.max(1, queue.concurrency), maxOverflow: 0 };
    this.#db = openDatabase({ database: { ...database, pool } });
    this.#log = createLog(logLevel);
    this.#producer = producerOf(bindings);
  }

  /** Each message is acknowledged, or is to come again; the batch fails in no case. */
  async consume(batch: QueueBatch, ctx: ExecutionContext): Promise<void> {
    const onFailure = logMessages(this.#log);
    await this.#withDatabase(ctx, (db) => consumeBatch(batch, activityConsumer(db, { onFailure })));
  }

  /** Sends what a crash, or a failure after a commit, has left in the outbox, and prunes. */
  async sweep(ctx: ExecutionContext): Promise<void> {
    await this.#withDatabase(ctx, async (db) => {
      if (this.#producer !== undefined) await sweepEvents(db, this.#producer);
      await pruneKeys(db);
    });
  }

  /** The connection is closed after the end, for which nobody waits. */
  async #withDatabase(ctx: ExecutionContext, work: (db: Database) => Promise<void>): Promise<void> {
    const scope = OwnerScope.request();
    const waitUntil = loggedWaitUntil((rest) => ctx.waitUntil(rest), this.#log);
    try {
      await work(this.#db.forOwner({ scope, waitUntil }));
    } finally {
      ctx.waitUntil(this.#db.endScope(scope));
    }
  }
}
