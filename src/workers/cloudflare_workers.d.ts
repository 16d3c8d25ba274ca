/** The parts of Cloudflare's runtime API that this project uses. https://developers.cloudflare.com/workers/runtime-apis/ */
declare module "cloudflare:workers" {
  /** The runtime's context of one request or of one Durable Object. */
  export interface ExecutionContext {
    /** Keeps the request's context alive until the promise settles, up to the runtime's own limits. */
    waitUntil(promise: Promise<unknown>): void;
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

  export interface DurableObjectNamespace {
    idFromName(name: string): DurableObjectId;
    get(id: DurableObjectId, options?: { locationHint?: string }): DurableObjectStub;
  }
}
