/**
 * The service on Cloudflare Workers: requests with sockets of their own, or, with `DATABASE_OBJECT_SHARDS`, objects that
 * keep pools; and the consumer of its events.
 */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "./queue/cloudflare_queue.ts";
import { type Bindings, handlerOf } from "./workers/handler.ts";
import { QueueWorker } from "./workers/queue.ts";

export { DatabaseObject } from "./workers/database_object.ts";

/** At the top of a module there are no timers and no random values: each isolate begins with its first request. */
const handler = oncePer(handlerOf);
const queueWorker = oncePer((bindings) => new QueueWorker(bindings));

export default {
  fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    return handler(bindings)(request, ctx);
  },
  async queue(batch: QueueBatch, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await queueWorker(bindings).consume(batch, ctx);
  },
  async scheduled(_event: unknown, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await queueWorker(bindings).sweep(ctx);
  },
};

function oncePer<T>(make: (bindings: Bindings) => T): (bindings: Bindings) => T {
  const made = new WeakMap<Bindings, { readonly value: T }>();
  return (bindings) => {
    let entry = made.get(bindings);
    if (entry === undefined) made.set(bindings, entry = { value: make(bindings) });
    return entry.value;
  };
}
