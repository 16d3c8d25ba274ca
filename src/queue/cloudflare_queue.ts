/**
 * The transport on Workers: Cloudflare Queues. They deliver at least once and keep no order.
 * https://developers.cloudflare.com/queues/configuration/javascript-apis/
 */

import type { Database } from "../db/mod.ts";
import type { Consumer, KeyedMessage } from "./consumer.ts";
import { dropEvents, messageOf, OUTBOX_TRANSACTION, takeEvents } from "./outbox.ts";
import type { Delivery } from "./transport.ts";

export interface QueueProducer {
  sendBatch(messages: Iterable<{ body: unknown; contentType: "json" }>): Promise<unknown>;
}

export interface QueueBatch {
  readonly queue: string;
  readonly messages: readonly QueueMessage[];
}

export interface QueueMessage {
  readonly id: string;
  readonly body: unknown;
  /** Starts at 1. */
  readonly attempts: number;
  ack(): void;
  retry(options: { delaySeconds: number }): void;
}

/** https://developers.cloudflare.com/queues/platform/limits/: at most 100 messages and 256 KB per `sendBatch`. */
const BATCH_SIZE = 100;

/** An event that was taken but not sent is taken again after this time. */
const LEASE_MS = 60_000;

/** Per call of `sweepEvents`. */
const MAX_BATCHES = 100;

/** Name of the queues that wrangler.toml sets as `dead_letter_queue`: the runtime moves undeliverable messages there. */
const DEAD_LETTER_QUEUE = /-dead$/;

/**
 * Sends up to 100 due events from the outbox to the queue, the longest due first, and returns their number. Each event
 * is sent at least once: if the process fails between sending and deleting, the event is sent again.
 */
export async function dispatchEvents(
  db: Pick<Database, "transaction">,
  queue: QueueProducer,
): Promise<number> {
  const take = takeEvents({ limit: BATCH_SIZE, leaseMs: LEASE_MS });
  const options = { ...OUTBOX_TRANSACTION, label: "dispatch" };
  const [rows] = await db.transaction((session) => session.commit([take]), options);
  if (rows.length === 0) return 0;
  await queue.sendBatch(rows.map((row) => ({ body: messageOf(row), contentType: "json" })));
  const drop = dropEvents(rows);
  await db.transaction((session) => session.commit([drop]), options);
  return rows.length;
}

/** Sends all due events, up to 10,000. */
export async function sweepEvents(
  db: Pick<Database, "transaction">,
  queue: QueueProducer,
): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    if (await dispatchEvents(db, queue) < BATCH_SIZE) return;
  }
}

/**
 * Processes a batch that the runtime delivered, over one connection. Returns how many of its messages come again. Never
 * rejects.
 */
export async function consumeBatch(
  { queue, messages }: QueueBatch,
  consumer: Pick<Consumer<KeyedMessage>, "consume" | "deadLetter">,
): Promise<number> {
  let retried = 0;
  const deliveries = messages.map((message) => deliveryOf(message, () => retried++));
  if (!DEAD_LETTER_QUEUE.test(queue)) await consumer.consume(deliveries);
  else {
    for (const delivery of deliveries) {
      await consumer.deadLetter(
        delivery,
        "Cannot deliver the message as Cloudflare Queues used up its retries",
      );
    }
  }
  return retried;
}

function deliveryOf(message: QueueMessage, onRetry: () => void): Delivery {
  const { id, body, attempts } = message;
  return {
    id,
    body,
    attempts,
    traceparent: traceparentOf(body),
    ack: () => message.ack(),
    retry({ delayMs }) {
      onRetry();
      message.retry({ delaySeconds: Math.ceil(delayMs / 1_000) });
    },
  };
}

function traceparentOf(body: unknown): string | undefined {
  const value = (body as { traceparent?: unknown } | null)?.traceparent;
  return typeof value === "string" ? value : undefined;
}
