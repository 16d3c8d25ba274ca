/** The handlers of an entry, which differ in their instrumentation only. */
import type { ExecutionContext } from "cloudflare:workers";
import type { QueueBatch } from "../queue/cloudflare_queue.ts";
import { failing, handlerOf } from "./handler.ts";
import type { Instrument } from "./instrumentation.ts";
import { QueueWorker } from "./queue.ts";
import type { Bindings } from "./settings.ts";
import { usersEntrypoint } from "./users_entrypoint.ts";

/** What an entry exports: its default handlers, and the class for bindings of other Workers. */
export function workerOf(instrument: Instrument) {
  // Workers forbid timers and random values in a module's global scope, so each isolate initialises at its first request.
  const handler = oncePer((bindings) => handlerOf(bindings, instrument));
  const queueWorker = oncePer((bindings) => QueueWorker.start(bindings, instrument));
  const handlerFor = (bindings: Bindings) => handler(bindings).catch(failing);
  const handlers = {
    async fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
      return await (await handlerFor(bindings))(request, ctx);
    },
    async queue(batch: QueueBatch, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
      await (await queueWorker(bindings)).consume(batch, ctx);
    },
    async scheduled(_event: unknown, bindings: Bindings, ctx: ExecutionContext): Promise<void> {
      await (await queueWorker(bindings)).sweep(ctx);
    },
  };
  return { handlers, UsersEntrypoint: usersEntrypoint(handlerFor) };
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
