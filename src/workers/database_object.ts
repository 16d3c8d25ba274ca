/// <reference path="./cloudflare_workers.d.ts" />
import { DurableObject, type ExecutionContext } from "cloudflare:workers";
import type { Database } from "../db/mod.ts";
import { serviceDatabases, WorkerService } from "./service.ts";
import { type Bindings, workerSettings } from "./settings.ts";

/**
 * The service with a pool that outlives requests. On Workers only a Durable Object can keep one: all requests to the
 * object share its sockets. It stores nothing, because messages on a socket wait for pending writes to storage. The
 * pool's timer closes idle connections; the runtime can then evict the object.
 * https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/
 */
export class DatabaseObject extends DurableObject<Bindings> {
  #started: Promise<Started> | undefined;

  override async fetch(request: Request): Promise<Response> {
    const { service, database } = await (this.#started ??= this.#start());
    return await service.fetch(request, database.withSignal(request.signal));
  }

  /** A failure is not kept: a secret may be readable for the next request. */
  async #start(): Promise<Started> {
    try {
      return await start(this.ctx, this.env);
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }
}

interface Started {
  readonly service: WorkerService;
  readonly database: Database;
}

/** Rejects with `SettingsError`. The Worker has the same settings, so it forwards no request to an object in that case. */
async function start(ctx: ExecutionContext, bindings: Bindings): Promise<Started> {
  const settings = await workerSettings(bindings);
  const database = serviceDatabases(settings).forObject(ctx);
  return { database, service: new WorkerService(settings, { database, bindings }) };
}
