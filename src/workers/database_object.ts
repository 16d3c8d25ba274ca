/// <reference path="./cloudflare_workers.d.ts" />
import { DurableObject, type ExecutionContext } from "cloudflare:workers";
import { OwnerScope } from "../db/mod.ts";
import { parseSettings } from "../settings/settings.ts";
import { producerOf } from "./queue.ts";
import { WorkerService } from "./service.ts";

/**
 * The service over a pool that outlives requests, which on Workers only an object can keep: all of its requests share
 * its sockets. It stores nothing, as a socket waits for writes to storage; and idle connections are closed by the pool's
 * timer, after which nothing keeps the runtime from evicting it.
 * https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/
 */
export class DatabaseObject extends DurableObject<Readonly<Record<string, unknown>>> {
  readonly #scope = OwnerScope.lasting();
  readonly #service: WorkerService;

  /** Throws `SettingsError`; the Worker, which has the same settings, asks no object then. */
  constructor(ctx: ExecutionContext, env: Readonly<Record<string, unknown>>) {
    super(ctx, env);
    this.#service = new WorkerService(parseSettings(env), { events: producerOf(env) });
  }

  override fetch(request: Request): Promise<Response> {
    return this.#service.fetch(request, {
      scope: this.#scope,
      waitUntil: (rest) => this.ctx.waitUntil(rest),
    });
  }
}
