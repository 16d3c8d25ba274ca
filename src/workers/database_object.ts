/// <reference path="./cloudflare_workers.d.ts" />
import { DurableObject, type DurableObjectStub, type ExecutionContext } from "cloudflare:workers";
import type { Identity } from "../access/identity.ts";
import type { Database } from "../db/mod.ts";
import { type Instrument, type Instrumentation, notInstrumented } from "./instrumentation.ts";
import { serviceDatabases, WorkerService } from "./service.ts";
import { type Bindings, workerSettings } from "./settings.ts";

/** The object as the Worker reaches it. */
export interface DatabaseObjectStub extends DurableObjectStub {
  fetchAs(caller: Identity, request: Request): Promise<Response>;
}

/**
 * The service with a pool that outlives requests. On Workers only a Durable Object can keep one: all requests to the
 * object share its sockets. It stores nothing, because messages on a socket wait for pending writes to storage. The
 * pool's timer closes idle connections; the runtime can then evict the object.
 * https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/
 */
export class DatabaseObject extends DurableObject<Bindings> {
  protected readonly instrument: Instrument = notInstrumented;
  #started: Promise<Started> | undefined;

  override async fetch(request: Request): Promise<Response> {
    return await this.#answer(request);
  }

  /**
   * Answers a request whose sender the Worker knows. It is a method of its own, which only Workers with a binding to the
   * object can call, because a client could send whatever a header would say.
   */
  async fetchAs(caller: Identity, request: Request): Promise<Response> {
    return await this.#answer(request, caller);
  }

  async #answer(request: Request, caller?: Identity): Promise<Response> {
    const { service, database, seen } = await (this.#started ??= this.#start());
    return await seen.run(
      this.ctx,
      () => service.fetch(request, database.withSignal(request.signal), caller),
    );
  }

  /** A failure is not kept: a secret may be readable for the next request. */
  async #start(): Promise<Started> {
    try {
      return await start(this.ctx, this.env, this.instrument);
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }
}

interface Started {
  readonly service: WorkerService;
  readonly database: Database;
  readonly seen: Instrumentation;
}

/** Rejects with `SettingsError`. The Worker has the same settings, so it forwards no request to an object in that case. */
async function start(
  ctx: ExecutionContext,
  bindings: Bindings,
  instrument: Instrument,
): Promise<Started> {
  const settings = await workerSettings(bindings);
  const seen = await instrument(bindings, settings);
  const database = serviceDatabases(settings, seen).forObject(ctx);
  return { database, seen, service: new WorkerService(settings, { database, bindings, seen }) };
}
