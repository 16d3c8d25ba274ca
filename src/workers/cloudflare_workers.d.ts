/** The parts of Cloudflare's runtime API that this project uses. https://developers.cloudflare.com/workers/runtime-apis/ */
declare module "cloudflare:workers" {
  /** The runtime's context of one request or of one Durable Object. */
  export interface ExecutionContext {
    /** Keeps the request's context alive until the promise settles, up to the runtime's own limits. */
    waitUntil(promise: Promise<unknown>): void;
  }

  /** What other Workers reach by a service binding: its public methods, and `fetch`. */
  export abstract class WorkerEntrypoint<Env> {
    /** `props` is what the configuration of the other Worker's binding says. */
    protected readonly ctx: ExecutionContext & { readonly props?: unknown };
    protected readonly env: Env;
    constructor(ctx: ExecutionContext, env: Env);
  }

  export abstract class DurableObject<Env> {
    protected readonly ctx: ExecutionContext;
    protected readonly env: Env;
    constructor(ctx: ExecutionContext, env: Env);
    abstract fetch(request: Request): Promise<Response>;
  }

  export interface DurableObjectId {
    toString(): string;
  }

  export interface DurableObjectStub {
    fetch(request: Request): Promise<Response>;
  }

  export interface DurableObjectNamespace<Stub extends DurableObjectStub = DurableObjectStub> {
    idFromName(name: string): DurableObjectId;
    get(id: DurableObjectId, options?: { locationHint?: string }): Stub;
  }
}
