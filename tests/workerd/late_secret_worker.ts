/** The service's Worker with a secret of a Secrets Store that cannot be read the first time, in the isolate and in an object. */
import type { ExecutionContext } from "cloudflare:workers";
import worker, { DatabaseObject as ServiceObject } from "../../src/worker.ts";
import type { Bindings } from "../../src/workers/settings.ts";

let bindings: Bindings | undefined;

export default {
  fetch(request: Request, env: Bindings, ctx: ExecutionContext): Promise<Response> {
    return worker.fetch(request, bindings ??= withLateSecret(env), ctx);
  },
};

export class DatabaseObject extends ServiceObject {
  constructor(ctx: ExecutionContext, env: Bindings) {
    super(ctx, withLateSecret(env));
  }
}

function withLateSecret(env: Bindings): Bindings {
  let isFirst = true;
  const get = () => {
    if (!isFirst) return Promise.resolve("0123456789abcdef");
    isFirst = false;
    return Promise.reject(new Error("the store is not reached"));
  };
  return { ...env, OPS_TOKEN: { get } };
}
