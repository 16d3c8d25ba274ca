/**
 * Entry on Cloudflare Workers: HTTP requests, the consumer of user events, the cron sweep, and the Durable Object class.
 * With `DATABASE_OBJECT_SHARDS=0` each request opens sockets of its own; otherwise Durable Objects keep pools.
 */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "./queue/cloudflare_queue.ts";
import { failing, handlerOf } from "./workers/handler.ts";
import { QueueWorker } from "./workers/queue.ts";
import type { Bindings } from "./workers/settings.ts";

export { DatabaseObject } from "./workers/database_object.ts";

/** Workers forbid timers and random values in a module's global scope, so each isolate initialises at its first request. */
const handler = oncePer(handlerOf);
const queueWorker = oncePer(QueueWorker.start);

export default {
  async fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    const answer = await handler(bindings).catch(failing);
    return await answer(request, ctx);
  },
  async queue(batch: QueueBatch, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await (await queueWorker(bindings)).consume(batch, ctx);
  },
  async scheduled(_event: unknown, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
    await (await queueWorker(bindings)).sweep(ctx);
  },
};

/**
 * Makes one value for all requests. Until there is one, each request makes its own: the promise of another request does
 * not settle if that request ends first. A failure is not kept: a secret may be readable for the next request.
 */
function oncePer<T extends object>(
  make: (bindings: Bindings) => Promise<T>,
): (bindings: Bindings) => Promise<T> {
  const made = new WeakMap<Bindings, T>();
  return async (bindings) => {
    const earlier = made.get(bindings);
    if (earlier !== undefined) return earlier;
    const own = await make(bindings);
    const first = made.get(bindings) ?? own;
    made.set(bindings, first);
    return first;
  };
}
