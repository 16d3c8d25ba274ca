/** The little of Cloudflare's runtime that is used here. https://developers.cloudflare.com/workers/runtime-apis/ */
declare module "cloudflare:workers" {
  /** What the runtime does for one request, or for one object. */
  export interface ExecutionContext {
    /** Keeps the request's context alive until the promise has settled, within bounds of the runtime's own. */
    waitUntil(rest: Promise<unknown>): void;
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
