/**
 * The bound of the whole pool, and its queue. A permit is the right to have one connection: an entry holds one from the
 * moment its connection begins to open until its socket is shut.
 *
 * Callers wait for a permit, not for a particular connection. All wait in one queue, in the order in which they came.
 * Every change of capacity (a connection opened, came back, died, failed to open) passes through `nextWaiterOf` or
 * `wake`, so that a caller that leaves the queue wastes nothing.
 */
import type { PoolCounts } from "../errors.ts";
import type { Clock } from "../time/clock.ts";
import { AcquireQueue, type Waiter } from "./acquire_queue.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";
import { QueueDelayControl } from "./codel.ts";
import type { Lease } from "./lease.ts";
import type { OwnerPool } from "./owner_pool.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { PoolEntry } from "./pool_entry.ts";
import type { AcquireRequest, PoolOptions } from "./pool_options.ts";
import {
  abortedError,
  holdAndWaitError,
  outageError,
  poolClosedError,
  queueFullError,
  type RefusalFacts,
  shedError,
  timeoutError,
  withPoolState,
} from "./pool_refusals.ts";
import type { PoolCounters } from "./pool_stats.ts";
import { RECLAIM_INTERVAL_MS, Reclaimer } from "./reclaimer.ts";

export interface PermitsOptions {
  readonly options: PoolOptions;
  readonly clock: Clock;
  readonly counters: PoolCounters;
  readonly breaker: CircuitBreaker;
  /** The connections of an owner, if it has any. */
  readonly find: (scope: OwnerScope) => OwnerPool | undefined;
  /** Opens a connection for the owner's waiters. */
  readonly open: (scope: OwnerScope, nowMs: number) => void;
  /** The owner has no connection any more. */
  readonly onUnused: (owner: OwnerPool) => void;
}

export class Permits {
  readonly limit: number;
  readonly queue: AcquireQueue;
  readonly reclaimer: Reclaimer;
  /** Refuses all waits, and keeps no connection that comes back. */
  isClosed = false;
  readonly #options: PermitsOptions;
  readonly #clock: Clock;
  readonly #breaker: CircuitBreaker;
  readonly #counters: PoolCounters;
  readonly #entries = new Set<PoolEntry>();
  readonly #delayControl: QueueDelayControl;
  readonly #empty = Promise.withResolvers<void>();
  #lastId = 0;

  constructor(permitsOptions: PermitsOptions) {
    const { options, clock, counters, breaker } = permitsOptions;
    this.limit = options.size + options.maxOverflow;
    this.#options = permitsOptions;
    this.#clock = clock;
    this.#breaker = breaker;
    this.#counters = counters;
    this.#delayControl = new QueueDelayControl(options.shedTargetMs);
    this.reclaimer = new Reclaimer({
      clock,
      release: (entry) => this.release(entry),
      reclaimBy: (timeMs) => this.queue.reclaimBy(timeMs),
      onResponse: () => this.wake(),
    });
    this.queue = new AcquireQueue({
      clock,
      timeoutMs: options.acquireTimeoutMs,
      onTimeout: (waiter) => this.#refuse(waiter, "timedOut", timeoutError),
      onAbort: (waiter, { reason }) =>
        this.#refuse(waiter, "aborted", (facts) => abortedError(reason, facts)),
      onReclaim: () => this.#reclaim(),
      nextReclaimAt: () => this.reclaimer.nextReclaimAt,
    });
  }

  /** In the order in which they began to open. */
  get entries(): ReadonlySet<PoolEntry> {
    return this.#entries;
  }

  nextId(): number {
    return ++this.#lastId;
  }

  /** Waits for a lease, or says at once why there will be none. */
  wait(
    request: AcquireRequest,
    signal: AbortSignal | undefined,
    nowMs: number,
  ): Promise<Lease> {
    const refusal = this.#refusal(request, signal, nowMs);
    if (refusal !== undefined) return Promise.reject(refusal);
    const lease = this.queue.push({ request, since: nowMs }, signal);
    this.wake();
    return lease;
  }

  /** A caller was served without a wait. */
  noteServedAtOnce(nowMs: number): void {
    this.#delayControl.refuses(0, nowMs);
  }

  add(entry: PoolEntry, nowMs: number): void {
    this.#entries.add(entry);
    this.reclaimer.add(entry, nowMs);
  }

  /** Frees the permit of an entry. Harmless if it is free already. */
  release(entry: PoolEntry): void {
    if (!this.#entries.delete(entry)) return;
    this.reclaimer.remove(entry);
    entry.become("gone");
    if (entry.owner.isUnused) this.#options.onUnused(entry.owner);
    if (this.#entries.size === 0 && this.isClosed) this.#empty.resolve();
    this.wake();
  }

  /** Resolves, once the pool is closed, when no permit is in use any more. */
  get empty(): Promise<void> {
    return this.#empty.promise;
  }

  /** Opens connections for waiters, while permits last. */
  wake(): void {
    if (this.isClosed) return;
    for (const { request: { scope } } of this.queue) {
      if (this.#entries.size >= this.limit) return this.#reclaimIdle();
      const opening = this.#options.find(scope)?.counts.opening ?? 0;
      if (opening >= this.queue.sizeOf(scope)) continue;
      if (this.reclaimer.isUnresponsive(scope)) continue;
      const nowMs = this.#clock.now();
      const retryInMs = this.#breaker.retryInMs(nowMs);
      if (retryInMs > 0) return this.#waitForProbe(retryInMs);
      this.#options.open(scope, nowMs);
    }
  }

  /**
   * Callers still wait, but none can use the connection that has just become idle. During an outage they are refused
   * now instead of at their timeout.
   */
  wakeIfQueued(): void {
    if (this.queue.size > 0) this.wake();
  }

  waitersOf(scope: OwnerScope): number {
    return this.queue.sizeOf(scope);
  }

  /** The scope's waiter that a usable connection goes to. Waiters that CoDel drops are refused on the way to it. */
  nextWaiterOf(
    scope: OwnerScope,
    { isNew }: { isNew: boolean },
    nowMs: number,
  ): Waiter | undefined {
    for (let waiter; (waiter = this.queue.headOf(scope, { isNew })) !== undefined;) {
      // A wait for the first answer of a cold database is no sign of a queue that is too long.
      if (isNew || !this.#delayControl.refuses(nowMs - waiter.since, nowMs)) return waiter;
      this.#refuse(waiter, "shed", shedError);
    }
    return undefined;
  }

  grant(waiter: Waiter, lease: Lease): void {
    this.queue.grant(waiter, lease);
  }

  /** A connect failed: its error goes to the waiter that has waited longest for one. */
  refuseHeadOf(scope: OwnerScope, error: Error): void {
    const waiter = this.queue.headOf(scope, { isNew: true });
    if (waiter !== undefined) this.#refuse(waiter, undefined, () => error);
  }

  refuseAll(error: (facts: RefusalFacts) => Error): void {
    for (const waiter of this.queue) this.#refuse(waiter, undefined, error);
  }

  /** Whether all permits are taken, and more callers wait than permits are about to be free or opened. */
  get areMissing(): boolean {
    if (this.queue.size === 0 || this.#entries.size < this.limit) return false;
    const { opening, closing } = this.counts();
    return this.queue.size > opening + closing;
  }

  /** The same for callers of one owner that take only a new connection. */
  areMissingForFresh({ scope, counts: { opening, closing } }: OwnerPool): boolean {
    return this.#entries.size >= this.limit && this.queue.freshOf(scope) > opening + closing;
  }

  counts(): PoolCounts {
    const counts = { opening: 0, leased: 0, idle: 0, closing: 0, gone: 0 };
    for (const { state } of this.#entries) counts[state]++;
    const { opening, leased, idle, closing } = counts;
    return { limit: this.limit, opening, leased, idle, closing, waiting: this.queue.size };
  }

  facts(waitedMs: number): RefusalFacts {
    return { counts: this.counts(), waitedMs, cause: this.#breaker.lastError };
  }

  /** Takes back what ended owners left behind, and opens what can be opened now. */
  #reclaim(): void {
    if (!this.reclaimer.isIdle) {
      const nowMs = this.#clock.now();
      this.reclaimer.reclaim(nowMs);
      this.queue.refuseAbandoned(nowMs);
    }
    this.wake();
  }

  /** At the bound, idle connections that no waiter can use give their permits up. */
  #reclaimIdle(): void {
    const retryInMs = this.#breaker.retryInMs(this.#clock.now());
    if (retryInMs > 0) return this.#waitForProbe(retryInMs);
    let missing = this.queue.size;
    for (const { state, pending } of this.#entries) {
      if (state === "opening" || state === "closing" || pending !== undefined) missing--;
    }
    for (const entry of this.#entries) {
      if (missing <= 0) return;
      if (entry.state !== "idle" || entry.pending !== undefined) continue;
      missing--;
      this.reclaimer.askToClose(entry, "overflowClosed");
    }
  }

  /**
   * During an outage a waiter is kept only if it can still be served: all waiters while a leased connection answered
   * within the last second, otherwise one waiter per connect in progress. The rest are refused now. The next probe is
   * scheduled here, because no later `acquire` may come to trigger it.
   */
  #waitForProbe(retryInMs: number): void {
    const nowMs = this.#clock.now();
    let servable = this.#hasResponsiveLease(nowMs) ? Infinity : this.counts().opening;
    for (const waiter of this.queue) {
      if (servable-- > 0) continue;
      this.#refuse(waiter, "unreachable", (facts) => outageError(retryInMs, facts));
    }
    this.queue.reclaimBy(nowMs + retryInMs);
  }

  #hasResponsiveLease(nowMs: number): boolean {
    return this.#breaker.answeredRecently(nowMs) &&
      this.#entries.values().some(({ state, connection }) =>
        state === "leased" && connection?.status !== undefined
      );
  }

  /** Why the caller cannot wait; `undefined` if it can. */
  #refusal(
    { scope, fresh }: AcquireRequest,
    signal: AbortSignal | undefined,
    nowMs: number,
  ): Error | undefined {
    const refused = (error: (facts: RefusalFacts) => Error, count?: keyof PoolCounters) => {
      if (count !== undefined) this.#counters[count]++;
      const facts = this.facts(0);
      return withPoolState(error(facts), facts);
    };
    if (this.isClosed) return refused(poolClosedError);
    if (signal?.aborted) return refused((facts) => abortedError(signal.reason, facts));
    const { maxWaiters } = this.#options.options;
    const isCrowded = this.#entries.size >= this.limit || this.queue.size >= maxWaiters;
    if (!this.reclaimer.isIdle && isCrowded) this.#reclaim();
    // Requests that ended silently may still be queued. Without expiring permits no timer removes them, so do it here.
    else if (this.queue.size > 0) this.queue.refuseAbandoned(nowMs);
    const retryInMs = this.#breaker.retryInMs(nowMs);
    const mayProbe = retryInMs === 0 && this.#entries.size < this.limit;
    // A probe of another caller may hang, so that this one does not wait for it.
    if (this.#breaker.isOpen && !mayProbe && !this.#hasResponsiveLease(nowMs)) {
      // With no permit left, the next probe can start when one of those under way has ended.
      return refused(
        (facts) => outageError(retryInMs || RECLAIM_INTERVAL_MS, facts),
        "unreachable",
      );
    }
    // Callers whose connection has died held a permit: there are no more of them than permits.
    const mostWaiters = maxWaiters + (fresh ? this.limit : 0);
    if (this.queue.size >= mostWaiters) return refused(queueFullError, "queueFull");
    if (this.#holdsAndWaits(scope)) return refused(holdAndWaitError, "holdAndWait");
    return undefined;
  }

  /** Requests that wait for a second connection while they hold one can wait for each other for ever. */
  #holdsAndWaits(scope: OwnerScope): boolean {
    const leased = this.#options.find(scope)?.counts.leased ?? 0;
    if (scope.lasting || leased === 0) return false;
    // Idle connections can be had, and opening ones are for the waiters.
    return this.queue.size > 0 || this.counts().leased >= this.limit;
  }

  #refuse(
    waiter: Waiter,
    count: keyof PoolCounters | undefined,
    error: (facts: RefusalFacts) => Error,
  ): void {
    if (count !== undefined) this.#counters[count]++;
    const facts = this.facts(this.#clock.now() - waiter.since);
    this.queue.refuse(waiter, withPoolState(error(facts), facts));
  }
}
