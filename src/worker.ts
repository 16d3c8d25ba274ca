/**
 * Entry on Cloudflare Workers: HTTP requests, the consumer of user events, the cron sweep, and the Durable Object class.
 * With `DATABASE_OBJECT_SHARDS=0` each request opens sockets of its own; otherwise Durable Objects keep pools.
 */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "./queue/cloudflare_queue.ts";
import { handlerOf } from "./workers/handler.ts";
import { QueueWorker } from "./workers/queue.ts";
import type { Bindings } from "./workers/settings.ts";

export { DatabaseObject } from "./workers/database_object.ts";

/** Workers forbid timers and random values in a module's global scope, so each isolate initialises at its first request. */
const handler = oncePer(handlerOf);
const queueWorker = oncePer(QueueWorker.start);

export default {
  async fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    return await (await handler(bindings))(request, ctx);
  },
  async queue(batch: QueueBatch, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await (await queueWorker(bindings)).consume(batch, ctx);
  },
  async scheduled(_event: unknown, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await (await queueWorker(bindings)).sweep(ctx);
  },
};

/**
 * The first value that is made is everyone's. Until then each request makes its own: the promise of another request does
 * not settle if that request ends first.
 */
function oncePer<T>(make: (bindings: Bindings) => Promise<T>): (bindings: Bindings) => Promise<T> {
  const made = new WeakMap<Bindings, { readonly value: T }>();
  return async (bindings) => {
    let entry = made.get(bindings);
    if (entry !== undefined) return entry.value;
    const value = await make(bindings);
    entry = made.get(bindings);
    if (entry === undefined) made.set(bindings, entry = { value });
    return entry.value;
  };
}
