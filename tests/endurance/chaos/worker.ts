/** The chaos app in workerd: each request with a scope of its own, or one Durable Object that keeps a pool. */
/// <reference path="../../../src/workers/cloudflare_workers.d.ts" />
import { workersSockets } from "../../../src/library/workers/sockets.ts";
import {
  DurableObject,
  type DurableObjectNamespace,
  type ExecutionContext,
} from "cloudflare:workers";
import { OwnerScope } from "../../../src/db/mod.ts";
import { ChaosApp } from "./app.ts";

type Bindings = Readonly<Record<string, unknown>>;

/** The environment variable that says `yes` where the object is to answer. */
const IN_OBJECT = "CHAOS_IN_OBJECT";

/** Made by the first request: at the top of a module workerd has neither timers nor random values. */
let app: ChaosApp | undefined;

export default {
  async fetch(request: Request, env: Bindings, ctx: ExecutionContext): Promise<Response> {
    if (env[IN_OBJECT] === "yes") {
      const namespace = env["CHAOS_OBJECT"] as DurableObjectNamespace;
      return await namespace.get(namespace.idFromName("pool")).fetch(request);
    }
    const service = app ??= new ChaosApp(env, workersSockets);
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
    this.#app = new ChaosApp(env, workersSockets);
  }

  override fetch(request: Request): Promise<Response> {
    const waitUntil = (rest: Promise<void>) => this.ctx.waitUntil(rest);
    return this.#app.fetch(request, { scope: this.#scope, waitUntil });
  }
}
