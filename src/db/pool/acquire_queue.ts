import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";
import type { Lease } from "./lease.ts";
import type { AcquireRequest } from "./pool_options.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { type QueueNode, WaiterQueue } from "./waiter_queue.ts";

/** A request that waits for a lease. */
export interface Waiter {
  readonly request: AcquireRequest;
  /** When `acquire` was called, on the pool's clock. */
  readonly since: number;
}

export interface AcquireQueueOptions {
  readonly clock: Clock;
  /** The longest wait. */
  readonly timeoutMs: number;
  /** Refuses a waiter that has waited for `timeoutMs`. */
  readonly onTimeout: (waiter: Waiter) => void;
  /** Refuses a waiter whose signal has aborted. */
  readonly onAbort: (waiter: Waiter, signal: AbortSignal) => void;
  /** Called from a waiter's timer: reclaims permits of owners that ended without releasing them. */
  readonly onReclaim: () => void;
  /** When `onReclaim` is due next; `Infinity` while no permit can expire. */
  readonly nextReclaimAt: () => number;
}

interface QueuedWaiter extends Waiter {
  readonly scopeQueue: ScopeQueue;
  readonly resolve: (lease: Lease) => void;
  readonly reject: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
  /** In the queue of all scopes. */
  node: QueueNode<QueuedWaiter> | undefined;
  /** In `scopeQueue`. */
  scopeNode: QueueNode<QueuedWaiter> | undefined;
  /** In `scopeQueue`, once more. */
  readerNode: QueueNode<QueuedWaiter> | undefined;
  onAbort: (() => void) | undefined;
}

/** The waiters of one scope. All have the same timeout, so that one timer serves them all. */
interface ScopeQueue {
  readonly waiters: WaiterQueue<QueuedWaiter>;
  /** Those of them that may share a connection. */
  readonly readers: WaiterQueue<QueuedWaiter>;
  readonly alarm: Alarm;
}

/** A waiter this long past its timeout belongs to a request that has ended; its own timer would have removed it. */
const ABANDONED_AFTER_MS = 1_000;

/**
 * The waiters of all scopes in FIFO order, and once more by scope. Requests for a fresh connection go first. A waiter
 * leaves the queue at once when it is granted a lease, refused, timed out or aborted; its timer and its abort listener
 * go with it.
 */
export class AcquireQueue {
  readonly #options: AcquireQueueOptions;
  readonly #all = new WaiterQueue<QueuedWaiter>();
  readonly #scopeQueues = new Map<OwnerScope, ScopeQueue>();

  constructor(options: AcquireQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  sizeOf(scope: OwnerScope): number {
    return this.#scopeQueues.get(scope)?.waiters.size ?? 0;
  }

  /** Number of the scope's waiters that may share a connection. */
  readersOf(scope: OwnerScope): number {
    return this.#scopeQueues.get(scope)?.readers.size ?? 0;
  }

  /** How many connections serve the scope's waiters, if each takes `depth` readers; with `fresh`, those that want a new one. */
  connectionsFor(scope: OwnerScope, depth: number, { fresh = false } = {}): number {
    const scopeQueue = this.#scopeQueues.get(scope);
    if (scopeQueue === undefined) return 0;
    const { waiters, readers } = scopeQueue;
    const count = fresh ? "prioritySize" : "size";
    return waiters[count] - readers[count] + Math.ceil(readers[count] / depth);
  }

  /** The scope's first waiter for a new connection, which all waiters take, or for one that was used before. */
  headOf(scope: OwnerScope, { isNew }: { isNew: boolean }): Waiter | undefined {
    const waiters = this.#scopeQueues.get(scope)?.waiters;
    return isNew ? waiters?.head : waiters?.regularHead;
  }

  /** The same among those that may share a connection. */
  readerOf(scope: OwnerScope, { isNew }: { isNew: boolean }): Waiter | undefined {
    const readers = this.#scopeQueues.get(scope)?.readers;
    return isNew ? readers?.head : readers?.regularHead;
  }

  /** In queue order. The current waiter may leave while iterating. */
  [Symbol.iterator](): Iterator<Waiter> {
    return this.#all[Symbol.iterator]();
  }

  /** Rejects with what `refuse` is given. */
  push({ request, since }: Waiter, signal: AbortSignal | undefined): Promise<Lease> {
    const { promise, resolve, reject } = Promise.withResolvers<Lease>();
    const scopeQueue = this.#scopeQueue(request.scope);
    const waiter: QueuedWaiter = {
      request,
      since,
      scopeQueue,
      resolve,
      reject,
      signal,
      node: undefined,
      scopeNode: undefined,
      readerNode: undefined,
      onAbort: undefined,
    };
    // This caller has waited before, and its connection has died.
    const push = request.fresh ? "pushPriority" : "push";
    waiter.node = this.#all[push](waiter);
    waiter.scopeNode = scopeQueue.waiters[push](waiter);
    if (request.shares) waiter.readerNode = scopeQueue.readers[push](waiter);
    if (request.holder !== undefined) request.holder.waiting++;
    scopeQueue.alarm.setBy(since + this.#options.timeoutMs);
    scopeQueue.alarm.setBy(this.#options.nextReclaimAt());
    if (signal !== undefined) this.#listenForAbort(waiter, signal);
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

  /** Makes a timer of each scope that has waiters call `onReclaim` by this time. */
  reclaimBy(timeMs: number): void {
    for (const [scope, { waiters, alarm }] of this.#scopeQueues) {
      // A timer, like a socket, belongs to the request that sets it.
      scope.run(() => waiters.size > 0 && alarm.setBy(timeMs));
    }
  }

  /** Refuses the waiters of requests that have ended: they are past their timeout, and no timer has removed them. */
  refuseAbandoned(nowMs: number): void {
    const latest = nowMs - this.#options.timeoutMs - ABANDONED_AFTER_MS;
    for (const waiter of this.#all) {
      if (waiter.since <= latest) this.#options.onTimeout(waiter);
      else if (!waiter.request.fresh) return;
    }
  }

  #scopeQueue(scope: OwnerScope): ScopeQueue {
    let scopeQueue = this.#scopeQueues.get(scope);
    if (scopeQueue === undefined) {
      const made: ScopeQueue = {
        waiters: new WaiterQueue(),
        readers: new WaiterQueue(),
        alarm: new Alarm(this.#options.clock, () => this.#onAlarm(made)),
      };
      this.#scopeQueues.set(scope, scopeQueue = made);
    }
    return scopeQueue;
  }

  #onAlarm({ waiters, alarm }: ScopeQueue): void {
    const { clock, timeoutMs, onTimeout, onReclaim, nextReclaimAt } = this.#options;
    const latest = clock.now() - timeoutMs;
    for (const waiter of waiters) {
      if (waiter.since <= latest) {
        onTimeout(waiter);
        continue;
      }
      alarm.setBy(waiter.since + timeoutMs);
      // All waiters behind this one came later.
      if (!waiter.request.fresh) break;
    }
    onReclaim();
    if (waiters.size > 0) alarm.setBy(nextReclaimAt());
    else alarm.clear();
  }

  #listenForAbort(waiter: QueuedWaiter, signal: AbortSignal): void {
    // Not a literal that is assigned to the property: `sendWithDeadline` says why.
    const onAbort = () => this.#options.onAbort(waiter, signal);
    waiter.onAbort = onAbort;
    signal.addEventListener("abort", onAbort);
  }

  #leave(
    { request, scopeQueue, node, scopeNode, readerNode, signal, onAbort }: QueuedWaiter,
  ): void {
    const { waiters, readers, alarm } = scopeQueue;
    if (request.holder !== undefined) request.holder.waiting--;
    this.#all.remove(node!);
    waiters.remove(scopeNode!);
    if (readerNode !== undefined) readers.remove(readerNode);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    if (waiters.size > 0) return;
    alarm.clear();
    if (this.#scopeQueues.get(request.scope) === scopeQueue) {
      this.#scopeQueues.delete(request.scope);
    }
  }
}
