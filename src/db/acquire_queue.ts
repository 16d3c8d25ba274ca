import type { Clock } from "./clock.ts";
import type { Lease } from "./lease.ts";
import { QueueTimer } from "./queue_timer.ts";
import type { OwnerScope } from "./scope.ts";
import { type Place, WaiterQueue } from "./waiter_queue.ts";

/** One that waits for a lease. */
export interface Waiter {
  readonly scope: OwnerScope;
  /** Wants no connection that was used before. */
  readonly fresh: boolean;
  readonly since: number;
}

export interface AcquireQueueOptions {
  readonly clock: Clock;
  /** Longest wait. */
  readonly timeoutMs: number;
  /** To refuse the waiter. */
  readonly onTimeout: (waiter: Waiter) => void;
  /** To refuse the waiter. */
  readonly onAbort: (waiter: Waiter, signal: AbortSignal) => void;
  /** The last waiter has left. */
  readonly onEmpty: () => void;
}

interface Waiting extends Waiter {
  readonly line: Line;
  readonly resolve: (lease: Lease) => void;
  readonly reject: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
  /** In the whole queue, and in its scope's line. */
  place: Place<Waiting> | undefined;
  linePlace: Place<Waiting> | undefined;
  onAbort: (() => void) | undefined;
}

interface Line {
  readonly waiters: WaiterQueue<Waiting>;
  readonly timer: QueueTimer<Waiting>;
}

/**
 * Who waits, in the order in which they came: as a whole, and in one line for each owner scope. A waiter leaves at
 * once when it is served, refused, late or given up, and leaves nothing behind.
 */
export class AcquireQueue {
  readonly #options: AcquireQueueOptions;
  readonly #all = new WaiterQueue<Waiting>();
  readonly #lines = new Map<OwnerScope, Line>();

  constructor(options: AcquireQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  sizeOf(scope: OwnerScope): number {
    return this.#lines.get(scope)?.waiters.size ?? 0;
  }

  /** The one that has waited longest in the scope. */
  headOf(scope: OwnerScope): Waiter | undefined {
    return this.#lines.get(scope)?.waiters.head;
  }

  /** Oldest first. The current one may leave while iterating. */
  [Symbol.iterator](): Iterator<Waiter> {
    return this.#all[Symbol.iterator]();
  }

  push({ scope, fresh, since }: Waiter, signal: AbortSignal | undefined): Promise<Lease> {
    const { promise, resolve, reject } = Promise.withResolvers<Lease>();
    const line = this.#line(scope);
    const waiting: Waiting = {
      scope,
      fresh,
      since,
      line,
      resolve,
      reject,
      signal,
      place: undefined,
      linePlace: undefined,
      onAbort: undefined,
    };
    waiting.place = this.#all.push(waiting);
    waiting.linePlace = line.waiters.push(waiting);
    line.timer.start();
    if (signal !== undefined) this.#listen(waiting, signal);
    return promise;
  }

  grant(waiter: Waiter, lease: Lease): void {
    this.#leave(waiter as Waiting);
    (waiter as Waiting).resolve(lease);
  }

  refuse(waiter: Waiter, error: Error): void {
    this.#leave(waiter as Waiting);
    (waiter as Waiting).reject(error);
  }

  #line(scope: OwnerScope): Line {
    let line = this.#lines.get(scope);
    if (line === undefined) {
      const { clock, timeoutMs, onTimeout } = this.#options;
      const waiters = new WaiterQueue<Waiting>();
      line = { waiters, timer: new QueueTimer(waiters, { clock, timeoutMs, onTimeout }) };
      this.#lines.set(scope, line);
    }
    return line;
  }

  #listen(waiting: Waiting, signal: AbortSignal): void {
    waiting.onAbort = () => this.#options.onAbort(waiting, signal);
    signal.addEventListener("abort", waiting.onAbort);
  }

  #leave({ scope, line, place, linePlace, signal, onAbort }: Waiting): void {
    this.#all.remove(place!);
    line.waiters.remove(linePlace!);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    if (line.waiters.size > 0) return;
    line.timer.stop();
    this.#lines.delete(scope);
    if (this.#all.size === 0) this.#options.onEmpty();
  }
}
