/**
 * The service's Worker, which counts the promises that its requests and objects give to `waitUntil`, and those that have
 * settled. `/_deferred` tells both. Miniflare runs objects in the isolate of their Worker.
 */
import worker, { DatabaseObject as ServiceObject } from "../../../src/worker.ts";

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

export interface Deferred {
  given: number;
  settled: number;
}

const deferred: Deferred = { given: 0, settled: 0 };

function counted<T extends Context>(ctx: T): T {
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (promise) => {
    deferred.given++;
    waitUntil(promise.finally(() => deferred.settled++));
  };
  return ctx;
}

export default {
  ...worker,
  fetch(...[request, env, ctx]: Parameters<typeof worker.fetch>): Promise<Response> {
    return new URL(request.url).pathname === "/_deferred"
      ? Promise.resolve(Response.json(deferred))
      : worker.fetch(request, env, counted(ctx));
  },
};

export class DatabaseObject extends ServiceObject {
  constructor(ctx: Context, env: Readonly<Record<string, unknown>>) {
    super(counted(ctx), env);
  }
}
