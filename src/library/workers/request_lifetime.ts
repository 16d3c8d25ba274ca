/** Ends the owner scope of a Worker's request, since the runtime does not tell when a request has ended. */
import { type Observer, OwnerScope, type TransactionObserver } from "../../db/mod.ts";

/** The runtime's context of a request or of an object. */
export interface WorkerContext {
  /** https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil */
  waitUntil(promise: Promise<unknown>): void;
}

/**
 * How long a connection waits for the request's next session. A login takes several round trips; a connection that is
 * kept takes a permit from other requests.
 */
const LINGER_MS = 20;

export class RequestLifetime {
  readonly scope = OwnerScope.request();
  readonly #ctx: WorkerContext;
  readonly #end: (scope: OwnerScope) => Promise<void>;
  #openTransactions = 0;
  /** The wait for another session. */
  #lingering: ReturnType<typeof setTimeout> | undefined;
  /** Lets the request end; `undefined` while it has no connection. */
  #release: (() => void) | undefined;

  /** `end` closes the scope's connections. */
  constructor(ctx: WorkerContext, { end }: { end: (scope: OwnerScope) => Promise<void> }) {
    this.#ctx = ctx;
    this.#end = end;
  }

  /**
   * Counts the transactions that lease a connection, and passes everything on to `next`. One that the endpoint runs has
   * no connection to close, and its HTTP request ends with the Worker's: it needs neither the timer nor `waitUntil`.
   */
  observe(next: Observer | undefined): Observer {
    return {
      transaction: (begun) => {
        const observed = next?.transaction(begun);
        if (begun.isRemote) return observed;
        this.#openTransactions++;
        clearTimeout(this.#lingering);
        this.#hold();
        return this.#observed(observed);
      },
    };
  }

  #observed(next: TransactionObserver | undefined): TransactionObserver {
    return {
      flight: (parts) => next?.flight(parts) ?? (() => {}),
      ended: (outcome, error) => {
        next?.ended(outcome, error);
        if (--this.#openTransactions === 0) this.#linger();
      },
    };
  }

  /**
   * From the first connection on: if the client disconnects, the runtime ends a request at once that has given nothing to
   * `waitUntil`, and its sockets with it. The server would go on with the statement, as no cancel request had been sent.
   */
  #hold(): void {
    if (this.#release !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    this.#ctx.waitUntil(promise);
  }

  #linger(): void {
    this.#lingering = setTimeout(() => {
      this.#end(this.scope).then(this.#release);
      // Another session may begin before the connections of this one are closed.
      this.#release = undefined;
    }, LINGER_MS);
  }
}
