/**
 * The transport on Workers: Cloudflare Queues, which deliver at least once and in no order.
 * https://developers.cloudflare.com/queues/configuration/javascript-apis/
 */

import type { Database } from "../db/mod.ts";
import type { Consumer } from "./consumer.ts";
import { dropEvents, messageOf, OUTBOX_UNIT, takeEvents } from "./outbox.ts";
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
  /** 1 at first. */
  readonly attempts: number;
  ack(): void;
  retry(options: { delaySeconds: number }): void;
}

/** https://developers.cloudflare.com/queues/platform/limits/: at most 100 messages, and 256 KB, in one call. */
const BATCH_SIZE = 100;

/** What was taken and not sent is taken again after this long. */
const LEASE_MS = 60_000;

/** One run of the sweep. */
const MAX_BATCHES = 100;

/** How the queues are called to which the runtime moves what it has delivered in vain too often. */
const DEAD_QUEUE = /-dead$/;

/**
 * Sends events from the outbox to the queue, the longest due first, and gives their number. Each is sent at least
 * once: what is sent and not dropped from the outbox, as in a crash, is sent again.
 */
export async function dispatchEvents(
  db: Pick<Database, "transaction">,
  queue: QueueProducer,
): Promise<number> {
  const take = takeEvents({ limit: BATCH_SIZE, leaseMs: LEASE_MS });
  const unit = { ...OUTBOX_UNIT, label: "dispatch" };
  const [rows] = await db.transaction((session) => session.commit([take]), unit);
  if (rows.length === 0) return 0;
  await queue.sendBatch(rows.map((row) => ({ body: messageOf(row), contentType: "json" })));
  const drop = dropEvents(rows.map(({ id }) => id));
  await db.transaction((session) => session.commit([drop]), unit);
  return rows.length;
}

/** Sends all that is due. */
export async function sweepEvents(
  db: Pick<Database, "transaction">,
  queue: QueueProducer,
): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    if (await dispatchEvents(db, queue) < BATCH_SIZE) return;
  }
}

/** On one connection. Never rejects. */
export async function consumeBatch(
  { queue, messages }: QueueBatch,
  consumer: Pick<Consumer, "consume" | "bury">,
): Promise<void> {
  const deliveries = messages.map(deliveryOf);
  if (!DEAD_QUEUE.test(queue)) return await consumer.consume(deliveries);
  for (const delivery of deliveries) {
    await consumer.bury(delivery, "Cannot deliver the message: the runtime has given it up");
  }
}

function deliveryOf(message: QueueMessage): Delivery {
  const { id, body, attempts } = message;
  return {
    id,
    body,
    attempts,
    ack: () => message.ack(),
    retry: ({ delayMs }) => message.retry({ delaySeconds: Math.ceil(delayMs / 1_000) }),
  };
}
