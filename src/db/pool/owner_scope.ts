import { ScopeError } from "../errors.ts";
import { LeaseHolder } from "./lease_holder.ts";

/**
 * The owner of sockets and timers. On Deno it is the isolate, in a Durable Object the object: both outlive a request
 * and keep idle connections. On Workers it is the request, whose sockets end with it: the runtime forbids I/O on behalf
 * of another request, https://developers.cloudflare.com/workers/runtime-apis/bindings/.
 *
 * Make the scope in the context that it stands for: in the request's handler, or in the object's constructor.
 */
export class OwnerScope {
  /** Whether the owner outlives a request, so that connections may stay idle in it. */
  readonly lasting: boolean;
  /** @internal Counts the leases of the one request that this scope is for; `undefined` in a lasting scope, which serves many. */
  readonly holder: LeaseHolder | undefined;
  /** workerd throws when code of one request reads a signal that another request made. Other runtimes never throw. */
  readonly #contextProbe = new AbortController();
  readonly #tasks: (() => void)[] = [];
  #wakeUp = Promise.withResolvers<void>();

  /** @internal Use `lasting` or `request`. */
  protected constructor(lasting: boolean) {
    this.lasting = lasting;
    this.holder = lasting ? undefined : new LeaseHolder();
    this.#listen();
  }

  /**
   * For a Deno process or a Durable Object. Give it a pool of its own: a pool never takes a lasting scope for ended, and
   * so never reclaims its permits.
   */
  static lasting(): OwnerScope {
    return new OwnerScope(true);
  }

  /** For one request of a Worker. At the request's end call `Pool.endScope`, which closes its idle connections. */
  static request(): OwnerScope {
    return new OwnerScope(false);
  }

  /** Whether the calling code runs on behalf of this owner, so that it may use the owner's sockets. */
  isCurrent(): boolean {
    try {
      void this.#contextProbe.signal.aborted;
      return true;
    } catch {
      return false;
    }
  }

  /** Throws `ScopeError` if the calling code runs on behalf of another owner, or after this owner's end. */
  assertCurrent(): void {
    if (!this.isCurrent()) throw ScopeError.foreign();
  }

  /**
   * Runs the task on the owner's behalf: now if the calling code runs on its behalf, otherwise when the runtime
   * schedules the owner. A task never runs if the owner has ended.
   */
  run(task: () => void): void {
    if (this.isCurrent()) return task();
    this.#tasks.push(task);
    this.#wakeUp.resolve();
  }

  /**
   * In workerd a `then` callback runs in the request that registered it, whichever request resolves the promise. `run`
   * uses that to reach the owner.
   */
  #listen(): void {
    this.#wakeUp.promise.then(() => {
      this.#wakeUp = Promise.withResolvers();
      this.#listen();
      for (const task of this.#tasks.splice(0)) task();
    });
  }
}
