import { ScopeError } from "../errors.ts";

/**
 * What a socket belongs to. On Deno that is the isolate, in a Durable Object the object: both outlive a request, and
 * connections wait idle in them. On Workers it is the request, and its sockets end with it:
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/ forbids I/O on behalf of another request.
 *
 * To be made where it is to hold: in the request's handler, in the object's constructor.
 */
export class OwnerScope {
  /** Whether the owner lives on between requests, so that connections may stay. */
  readonly lasting: boolean;
  /** workerd lets nobody look at a signal that was made in another request. Elsewhere everybody may. */
  readonly #own = new AbortController();
  readonly #steps: (() => void)[] = [];
  #summons = Promise.withResolvers<void>();

  protected constructor(lasting: boolean) {
    this.lasting = lasting;
    this.#listen();
  }

  /** For a Deno process or a Durable Object, and a pool of its own: whoever lasts is never taken for ended. */
  static lasting(): OwnerScope {
    return new OwnerScope(true);
  }

  /** For one request of a Worker. The pool closes its connections in `endScope`. */
  static request(): OwnerScope {
    return new OwnerScope(false);
  }

  /** Whether the code that asks runs on behalf of this owner, so that it may touch its sockets. */
  isCurrent(): boolean {
    try {
      void this.#own.signal.aborted;
      return true;
    } catch {
      return false;
    }
  }

  /** Throws `ScopeError` for code that runs on behalf of another owner, or after this one's end. */
  assertCurrent(): void {
    if (!this.isCurrent()) throw ScopeError.foreign();
  }

  /** Does the step on the owner's behalf: at once, or when the runtime turns to it; never if the owner has ended. */
  run(step: () => void): void {
    if (this.isCurrent()) return step();
    this.#steps.push(step);
    this.#summons.resolve();
  }

  /** What continues a promise runs where it was written down, whoever resolves it. */
  #listen(): void {
    this.#summons.promise.then(() => {
      this.#summons = Promise.withResolvers();
      this.#listen();
      for (const step of this.#steps.splice(0)) step();
    });
  }
}
