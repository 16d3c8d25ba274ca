/** The chaos app in workerd: over requests that each have a scope of their own, or over one object that keeps a pool. */
/// <reference path="../../src/workers/cloudflare_workers.d.ts" />
import {
  DurableObject,
  type DurableObjectNamespace,
  type ExecutionContext,
} from "cloudflare:workers";
import { OwnerScope } from "../../src/db/mod.ts";
import { ChaosApp } from "./app.ts";

type Bindings = Readonly<Record<string, unknown>>;

/** Of the environment: whether an object answers. */
const IN_OBJECT = "CHAOS_IN_OBJECT";

/** At the top of a module there are no timers and no random values. */
let app: ChaosApp | undefined;

export default {
  async fetch(request: Request, env: Bindings, ctx: ExecutionContext): Promise<Response> {
    if (env[IN_OBJECT] === "yes") {
      const namespace = env["CHAOS_OBJECT"] as DurableObjectNamespace;
      return await namespace.get(namespace.idFromName("pool")).fetch(request);
    }
    const service = app ??= new ChaosApp(env);
    const scope = OwnerScope.request();
    const answer = service.fetch(request, { scope, waitUntil: (rest) => ctx.waitUntil(rest) });
    ctx.waitUntil(answer.finally(() => service.endScope(scope)));
    return await answer;
  },
};

export class ChaosObject extends DurableObject<Bindings> {
  readonly #scope = OwnerScope.lasting();
  readonly #app: ChaosApp;

  constructor(ctx: ExecutionContext, env: Bindings) {
    super(ctx, env);
    this.#app = new ChaosApp(env);
  }

  override fetch(request: Request): Promise<Response> {
    const waitUntil = (rest: Promise<void>) => this.ctx.waitUntil(rest);
    return this.#app.fetch(request, { scope: this.#scope, waitUntil });
  }
}
