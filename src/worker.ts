/**
 * The service on Cloudflare Workers: requests with sockets of their own, or, with `DATABASE_OBJECT_SHARDS`, objects that
 * keep pools.
 *
 * There is no `queue` here yet: the runtime acknowledges no batch of a Worker that has none.
 */
import type { ExecutionContext } from "cloudflare:workers";
import { type Bindings, type Handler, handlerOf } from "./workers/handler.ts";

export { DatabaseObject } from "./workers/database_object.ts";

/** At the top of a module there are no timers and no random values: each isolate begins with its first request. */
const handlers = new WeakMap<Bindings, Handler>();

export default {
  fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    let handler = handlers.get(bindings);
    if (handler === undefined) handlers.set(bindings, handler = handlerOf(bindings));
    return handler(request, ctx);
  },
};
