/// <reference path="./cloudflare_workers.d.ts" />
import { DurableObject, type ExecutionContext } from "cloudflare:workers";
import type { Database } from "../db/mod.ts";
import { parseSettings } from "../settings/settings.ts";
import { producerOf } from "./queue.ts";
import { serviceDatabases, WorkerService } from "./service.ts";

/**
 * The service with a pool that outlives requests. On Workers only a Durable Object can keep one: all requests to the
 * object share its sockets. It stores nothing, because messages on a socket wait for pending writes to storage. The
 * pool's timer closes idle connections; the runtime can then evict the object.
 * https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/
 */
export class DatabaseObject extends DurableObject<Readonly<Record<string, unknown>>> {
  readonly #database: Database;
  readonly #service: WorkerService;

  /** Throws `SettingsError`. The Worker has the same settings, so it forwards no request to an object in that case. */
  constructor(ctx: ExecutionContext, env: Readonly<Record<string, unknown>>) {
    super(ctx, env);
    const settings = parseSettings(env, { hasTcp: false });
    const database = this.#database = serviceDatabases(settings).forObject(ctx);
    this.#service = new WorkerService(settings, { database, events: producerOf(env) });
  }

  override fetch(request: Request): Promise<Response> {
    return this.#service.fetch(request, this.#database.withSignal(request.signal));
  }
}
