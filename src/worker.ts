/**
 * Entry on Cloudflare Workers: HTTP requests, the consumer of user events, the cron sweep, and the Durable Object class.
 * With `DATABASE_OBJECT_SHARDS=0` each request opens sockets of its own; otherwise Durable Objects keep pools.
 */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "./queue/cloudflare_queue.ts";
import { type Bindings, handlerOf } from "./workers/handler.ts";
import { QueueWorker } from "./workers/queue.ts";

export { DatabaseObject } from "./workers/database_object.ts";

/** Workers forbid timers and random values in a module's global scope, so each isolate initialises at its first request. */
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
