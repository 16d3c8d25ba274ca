/** The handlers of an entry, which differ in their instrumentation only. */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "../queue/cloudflare_queue.ts";
import { failing, handlerOf } from "./handler.ts";
import type { Instrument } from "./instrumentation.ts";
import { QueueWorker } from "./queue.ts";
import type { Bindings } from "./settings.ts";

/** The default export of an entry. */
export function workerOf(instrument: Instrument) {
  // Workers forbid timers and random values in a module's global scope, so each isolate initialises at its first request.
  const handler = oncePer((bindings) => handlerOf(bindings, instrument));
  const queueWorker = oncePer((bindings) => QueueWorker.start(bindings, instrument));
  return {
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
}

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
