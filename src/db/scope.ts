/**
 * What a socket belongs to. On Deno that is the isolate, in a Durable Object the object: both outlive a request,
 * and connections wait idle in them. On Workers it is the request, and its sockets must end with it:
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/ forbids I/O on behalf of another request.
 */
export class OwnerScope {
  /** Whether the owner lives on between requests, so that timers may run in it and connections may stay. */
  readonly lasting: boolean;

  private constructor(lasting: boolean) {
    this.lasting = lasting;
  }

  /** For a Deno process or a Durable Object. */
  static lasting(): OwnerScope {
    return new OwnerScope(true);
  }

  /** For one request of a Worker. The pool closes its connections in `endScope`. */
  static request(): OwnerScope {
    return new OwnerScope(false);
  }
}
