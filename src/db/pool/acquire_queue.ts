import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";
import type { Lease } from "./lease.ts";
import type { AcquireRequest } from "./pool_options.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { type QueueNode, WaiterQueue } from "./waiter_queue.ts";

/** One that waits for a lease. */
export interface Waiter {
  readonly request: AcquireRequest;
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
  /** Somebody who waits looks whether something has come free that nobody told of. */
  readonly onReclaim: () => void;
  /** When to look next; `Infinity` while everything that comes free is told. */
  readonly nextReclaimAt: () => number;
}

interface QueuedWaiter extends Waiter {
  readonly line: ScopeQueue;
  readonly resolve: (lease: Lease) => void;
  readonly reject: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
  /** In the whole queue, and in its scope's line. */
  place: QueueNode<QueuedWaiter> | undefined;
  linePlace: QueueNode<QueuedWaiter> | undefined;
  onAbort: (() => void) | undefined;
}

/** Those of one scope. All may wait equally long, so that one timer is enough for them. */
interface ScopeQueue {
  readonly waiters: WaiterQueue<QueuedWaiter>;
  readonly alarm: Alarm;
}

/** After this much more than the longest wait, one who waits is dead: its own timer has not spoken. */
const DEAD_AFTER_MS = 1_000;

/**
 * Who waits, in the order in which they came: as a whole, and in one line for each owner scope. A waiter leaves at
 * once when it is served, refused, late or given up, and leaves nothing behind.
 */
export class AcquireQueue {
  readonly #options: AcquireQueueOptions;
  readonly #all = new WaiterQueue<QueuedWaiter>();
  readonly #lines = new Map<OwnerScope, ScopeQueue>();

  constructor(options: AcquireQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  sizeOf(scope: OwnerScope): number {
    return this.#lines.get(scope)?.waiters.size ?? 0;
  }

  /** Those of the scope that take no connection that was used before. */
  freshOf(scope: OwnerScope): number {
    return this.#lines.get(scope)?.waiters.aheadSize ?? 0;
  }

  /** The one of the scope whose turn is next, among those who take a connection that was used before, or among all. */
  headOf(scope: OwnerScope, { isNew }: { isNew: boolean }): Waiter | undefined {
    const waiters = this.#lines.get(scope)?.waiters;
    return isNew ? waiters?.head : waiters?.headBehind;
  }

  /** In their turn. The current one may leave while iterating. */
  [Symbol.iterator](): Iterator<Waiter> {
    return this.#all[Symbol.iterator]();
  }

  push({ request, since }: Waiter, signal: AbortSignal | undefined): Promise<Lease> {
    const { promise, resolve, reject } = Promise.withResolvers<Lease>();
    const line = this.#line(request.scope);
    const waiting: QueuedWaiter = {
      request,
      since,
      line,
      resolve,
      reject,
      signal,
      place: undefined,
      linePlace: undefined,
      onAbort: undefined,
    };
    // Whose connection has died under it has waited before.
    const push = request.fresh ? "pushAhead" : "push";
    waiting.place = this.#all[push](waiting);
    waiting.linePlace = line.waiters[push](waiting);
    line.alarm.setBy(since + this.#options.timeoutMs);
    line.alarm.setBy(this.#options.nextReclaimAt());
    if (signal !== undefined) this.#listen(waiting, signal);
    return promise;
  }

  grant(waiter: Waiter, lease: Lease): void {
    this.#leave(waiter as QueuedWaiter);
    (waiter as QueuedWaiter).resolve(lease);
  }

  refuse(waiter: Waiter, error: Error): void {
    this.#leave(waiter as QueuedWaiter);
    (waiter as QueuedWaiter).reject(error);
  }

  /** Makes those who wait look at this time. */
  reclaimBy(timeMs: number): void {
    for (const [scope, { waiters, alarm }] of this.#lines) {
      // A timer belongs to its owner as a socket does.
      scope.run(() => waiters.size > 0 && alarm.setBy(timeMs));
    }
  }

  /** Refuses those whose owner has ended without a word, once their time has run out. */
  refuseAbandoned(nowMs: number): void {
    const latest = nowMs - this.#options.timeoutMs - DEAD_AFTER_MS;
    for (const waiter of this.#all) {
      if (waiter.since <= latest) this.#options.onTimeout(waiter);
      else if (!waiter.request.fresh) return;
    }
  }

  #line(scope: OwnerScope): ScopeQueue {
    let line = this.#lines.get(scope);
    if (line === undefined) {
      const made: ScopeQueue = {
        waiters: new WaiterQueue(),
        alarm: new Alarm(this.#options.clock, () => this.#due(made)),
      };
      this.#lines.set(scope, line = made);
    }
    return line;
  }

  #due({ waiters, alarm }: ScopeQueue): void {
    const { clock, timeoutMs, onTimeout, onReclaim, nextReclaimAt } = this.#options;
    const latest = clock.now() - timeoutMs;
    for (const waiter of waiters) {
      if (waiter.since <= latest) {
        onTimeout(waiter);
        continue;
      }
      alarm.setBy(waiter.since + timeoutMs);
      // Behind it, all have come later.
      if (!waiter.request.fresh) break;
    }
    onReclaim();
    if (waiters.size > 0) alarm.setBy(nextReclaimAt());
    else alarm.clear();
  }

  #listen(waiting: QueuedWaiter, signal: AbortSignal): void {
    waiting.onAbort = () => this.#options.onAbort(waiting, signal);
    signal.addEventListener("abort", waiting.onAbort);
  }

  #leave({ request: { scope }, line, place, linePlace, signal, onAbort }: QueuedWaiter): void {
    this.#all.remove(place!);
    line.waiters.remove(linePlace!);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    if (line.waiters.size > 0) return;
    line.alarm.clear();
    if (this.#lines.get(scope) === line) this.#lines.delete(scope);
  }
}
