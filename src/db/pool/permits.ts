/**
 * The bound of the whole pool, and its queue. A permit is the right to have one connection: an entry holds one from the
 * moment its connection begins to open until its socket is shut.
 *
 * Callers wait for a permit, not for a particular connection, in one FIFO queue. Every change of capacity (a connection
 * opened, came back, died, failed to open) passes through `queue.headOf` or `wake`, so that a caller that leaves the
 * queue wastes no permit.
 */
import type { PoolCounts } from "../errors.ts";
import { AdmissionControl } from "../time/admission.ts";
import type { Clock } from "../time/clock.ts";
import { AcquireQueue, type Waiter } from "./acquire_queue.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { hungProbe } from "./hung_probe.ts";
import type { Lease } from "./lease.ts";
import type { LeaseHolder } from "./lease_holder.ts";
import type { OwnerPool } from "./owner_pool.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { type PoolEntry, zeroCounts } from "./pool_entry.ts";
import type { AcquireRequest, PoolOptions } from "./pool_options.ts";
import {
  aborted,
  connectFailed,
  errorOf,
  HOLD_AND_WAIT,
  POOL_CLOSED,
  QUEUE_FULL,
  type Refusal,
  type RefusalFacts,
  SHED,
  TIMED_OUT,
  unreachable,
} from "./pool_refusals.ts";
import type { PoolCounters } from "./pool_stats.ts";
import { longestLineEver } from "./read_times.ts";
import { RECLAIM_INTERVAL_MS, Reclaimer } from "./reclaimer.ts";

export interface PermitsOptions {
  readonly options: PoolOptions;
  readonly clock: Clock;
  readonly counters: PoolCounters;
  readonly breaker: CircuitBreaker;
  /** The pool of an owner that has connections. */
  readonly ownerOf: (scope: OwnerScope) => OwnerPool | undefined;
  /** Opens a connection for the owner's waiters. */
  readonly openFor: (scope: OwnerScope, nowMs: number) => void;
  /** The owner's last connection is gone. */
  readonly onUnused: (owner: OwnerPool) => void;
}

export class Permits {
  readonly limit: number;
  readonly queue: AcquireQueue;
  readonly reclaimer: Reclaimer;
  /** When set, `wait` refuses every caller, and no connection that comes back is kept. */
  isClosed = false;
  readonly #options: PermitsOptions;
  readonly #clock: Clock;
  readonly #breaker: CircuitBreaker;
  readonly #entries = new Set<PoolEntry>();
  readonly #admission: AdmissionControl;
  readonly #empty = Promise.withResolvers<void>();
  #lastId = 0;

  constructor(permitsOptions: PermitsOptions) {
    const { options, clock, breaker } = permitsOptions;
    this.limit = options.size + options.maxOverflow;
    this.#options = permitsOptions;
    this.#clock = clock;
    this.#breaker = breaker;
    this.#admission = new AdmissionControl({
      // A caller that would wait longer than the timeout gets no lease.
      targetMs: Math.min(options.shedTargetMs, options.acquireTimeoutMs),
      permits: this.limit,
      isLoggingIn: () => this.#entries.values().some((entry) => entry.isLoggingIn),
    });
    this.reclaimer = new Reclaimer({
      clock,
      release: (entry) => this.release(entry),
      reclaimBy: (timeMs) => this.queue.reclaimBy(timeMs),
      onResponse: () => this.wake(),
    });
    this.queue = new AcquireQueue({
      clock,
      timeoutMs: options.acquireTimeoutMs,
      onTimeout: (waiter) => this.#refuse(waiter, TIMED_OUT),
      onAbort: (waiter, { reason }) => this.#refuse(waiter, aborted(reason)),
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

  /** Waits for a lease. Rejects at once if the caller may not wait. */
  wait(
    request: AcquireRequest,
    signal: AbortSignal | undefined,
    nowMs: number,
  ): Promise<Lease> {
    const refusal = this.#refusalOf(request, signal, nowMs);
    if (refusal !== undefined) return Promise.reject(this.toError(refusal, 0));
    const lease = this.queue.push({ request, since: nowMs }, signal);
    this.wake();
    if (this.#breaker.isOpen) this.#giveUpProbe(nowMs);
    return lease;
  }

  noteReturn(nowMs: number): void {
    if (this.queue.size > 0) this.#admission.noteReturn(nowMs);
  }

  add(entry: PoolEntry, nowMs: number): void {
    this.#entries.add(entry);
    this.reclaimer.add(entry, nowMs);
  }

  /** Frees the permit of an entry. Does nothing if it is free already. */
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
    if (this.isClosed || this.queue.size === 0) return;
    for (const { request: { scope } } of this.queue) {
      if (this.#entries.size >= this.limit) return this.#reclaimIdle();
      const owner = this.#options.ownerOf(scope);
      const depth = owner?.reads.depth ?? 1;
      if ((owner?.counts.opening ?? 0) >= this.queue.connectionsFor(scope, depth)) continue;
      if (this.reclaimer.isUnresponsive(scope)) continue;
      const nowMs = this.#clock.now();
      const retryInMs = this.#breaker.retryInMs(nowMs);
      if (retryInMs > 0) return this.#waitForProbe(retryInMs);
      this.#options.openFor(scope, nowMs);
    }
  }

  /** Gives the lease to a waiter. Its request holds one now, so that its other callers may not wait any longer. */
  grant(waiter: Waiter, lease: Lease): void {
    this.queue.grant(waiter, lease);
    const { holder } = waiter.request;
    if (holder !== undefined && holder.waiting > 0) this.#refuseWaitersOf(holder);
  }

  /** A connect failed: the scope's first waiter gets its error. */
  refuseHeadOf(scope: OwnerScope, error: Error): void {
    const waiter = this.queue.headOf(scope, { isNew: true });
    if (waiter !== undefined) this.#refuse(waiter, connectFailed(error));
  }

  /**
   * A connect was given up. In an outage the one that replaces it serves the newest waiter: the oldest one has waited for
   * it. Otherwise its scope has ended, and those that wait now came later.
   */
  refuseSurplusOf({ scope, counts: { opening } }: OwnerPool): void {
    if (!this.#breaker.isOpen) return;
    const waiter = this.queue.headOf(scope, { isNew: true });
    if (waiter === undefined || this.queue.sizeOf(scope) <= opening) return;
    this.#refuse(waiter, unreachable(CircuitBreaker.longestWindowMs));
  }

  refuseAll(refusal: Refusal): void {
    for (const waiter of this.queue) this.#refuse(waiter, refusal);
  }

  /** Whether all permits are taken, and more callers wait than permits are about to be free or opened. */
  get hasShortage(): boolean {
    if (this.queue.size === 0 || this.#entries.size < this.limit) return false;
    const { opening, closing } = this.counts();
    return this.queue.size > opening + closing;
  }

  /** The same for the owner's callers that take only a new connection. */
  hasFreshShortage({ scope, reads, counts: { opening, closing } }: OwnerPool): boolean {
    if (this.#entries.size < this.limit) return false;
    return this.queue.connectionsFor(scope, reads.depth, { fresh: true }) > opening + closing;
  }

  /** The owner's callers that wait for a connection of their own, beyond those that are about to be free or opened. */
  wholeShortageOf({ scope, counts: { opening, closing } }: OwnerPool): number {
    const whole = this.queue.sizeOf(scope) - this.queue.readersOf(scope);
    return whole === 0 ? 0 : Math.max(0, whole - opening - closing);
  }

  counts(): PoolCounts {
    const counts = zeroCounts();
    for (const { state } of this.#entries) counts[state]++;
    const { opening, leased, idle, closing } = counts;
    return { limit: this.limit, opening, leased, idle, closing, waiting: this.queue.size };
  }

  /** The pool's state for the error of a caller that has waited for `waitedMs`. */
  facts(waitedMs: number): RefusalFacts {
    return { counts: this.counts(), waitedMs, cause: this.#breaker.lastError };
  }

  /** Reclaims the permits of owners that have ended, and opens connections with them. */
  #reclaim(): void {
    if (!this.reclaimer.isIdle) {
      const nowMs = this.#clock.now();
      this.reclaimer.reclaim(nowMs);
      this.queue.refuseAbandoned(nowMs);
    }
    this.wake();
  }

  /** At the bound, closes idle connections that no waiter can use, so that their permits come free for the waiters. */
  #reclaimIdle(): void {
    let missing = this.queue.size;
    for (const { state, pending } of this.#entries) {
      if (state === "opening" || state === "closing" || pending !== undefined) missing--;
    }
    for (const entry of this.#entries) {
      if (missing <= 0) return;
      if (entry.state !== "idle" || entry.pending !== undefined) continue;
      missing--;
      this.reclaimer.askOwnerToClose(entry, "overflowClosed");
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
      this.#refuse(waiter, unreachable(retryInMs));
    }
    this.queue.reclaimBy(nowMs + retryInMs);
  }

  /** If a window is due and no permit is left, the caller that has just come gets that of a probe that hangs. */
  #giveUpProbe(nowMs: number): void {
    if (this.#breaker.retryInMs(nowMs) > 0 || this.#entries.size < this.limit) return;
    if (this.#hasResponsiveLease(nowMs)) return;
    const probe = hungProbe(this.#entries, this.#breaker, nowMs);
    probe?.owner.giveUpConnect(probe);
  }

  #hasResponsiveLease(nowMs: number): boolean {
    return this.#breaker.answeredRecently(nowMs) &&
      this.#entries.values().some(({ state, connection }) =>
        state === "leased" && connection?.status !== undefined
      );
  }

  /** Why the caller may not wait; `undefined` if it may. */
  #refusalOf(
    request: AcquireRequest,
    signal: AbortSignal | undefined,
    nowMs: number,
  ): Refusal | undefined {
    if (this.isClosed) return POOL_CLOSED;
    // Counted are the callers that waited.
    if (signal?.aborted) return { ...aborted(signal.reason), counter: undefined };
    const { maxWaiters, readDepth } = this.#options.options;
    const isCrowded = this.#entries.size >= this.limit || this.queue.size >= maxWaiters;
    if (!this.reclaimer.isIdle && isCrowded) this.#reclaim();
    // Requests that ended silently may still be queued. Without expiring permits no timer removes them, so do it here.
    else if (this.queue.size > 0) this.queue.refuseAbandoned(nowMs);
    const isUnreachable = this.#breaker.isOpen && !this.#hasResponsiveLease(nowMs);
    // This caller does not wait for another caller's probe: that probe may hang.
    if (isUnreachable && !this.#mayProbe(nowMs)) {
      // With no permit left, the next probe can start when a probe in progress has ended.
      return unreachable(this.#breaker.retryInMs(nowMs) || RECLAIM_INTERVAL_MS);
    }
    // Such a caller has lost its place on a connection: there are no more of them than places.
    const hadPlace = request.fresh || request.again;
    const places = this.limit * (request.shares || request.again ? longestLineEver(readDepth) : 1);
    const mayWait = maxWaiters + (hadPlace ? places : 0);
    // Waiters for whom a permit is left wait for no other caller. Those are only counted where the queue is long.
    if (this.queue.size >= mayWait && this.queue.size >= mayWait + this.#permitsLeft()) {
      return QUEUE_FULL;
    }
    const isAdmitted = this.#admission.admits(this.queue.size, nowMs);
    // A caller that may probe starts a connect.
    if (!isAdmitted && !hadPlace && !isUnreachable) return SHED;
    const waitsForHolders = isHolding(request) && this.queue.size >= this.#unheldPermits();
    return waitsForHolders ? HOLD_AND_WAIT : undefined;
  }

  #mayProbe(nowMs: number): boolean {
    if (this.#breaker.retryInMs(nowMs) > 0) return false;
    return this.#entries.size < this.limit ||
      hungProbe(this.#entries, this.#breaker, nowMs) !== undefined;
  }

  /** The holder has got a lease: refuses its waiters for whom another holder would have to return one. */
  #refuseWaitersOf(holder: LeaseHolder): void {
    let unheld = this.#unheldPermits();
    for (const waiter of this.queue) {
      if (unheld-- > 0 || waiter.request.holder !== holder || !isHolding(waiter.request)) continue;
      this.#refuse(waiter, HOLD_AND_WAIT);
    }
  }

  /** Permits of no leased connection. */
  #permitsLeft(): number {
    return this.limit - this.counts().leased;
  }

  /** Permits that are free, or come free without any holder's doing. As many waiters wait for no holder. */
  #unheldPermits(): number {
    let unheld = this.limit;
    for (const { state, lease } of this.#entries) {
      if (state === "leased" && lease?.isReturned === false) unheld--;
    }
    return unheld;
  }

  #refuse(waiter: Waiter, refusal: Refusal): void {
    this.queue.refuse(waiter, this.toError(refusal, this.#clock.now() - waiter.since));
  }

  /** Counts the refusal, and makes its error. */
  toError(refusal: Refusal, waitedMs: number): Error {
    if (refusal.counter !== undefined) this.#options.counters[refusal.counter]++;
    return errorOf(refusal, this.facts(waitedMs));
  }
}

/** Whether the caller's request holds a lease. A caller whose connection has died has given up the permit of its own. */
function isHolding({ holder, fresh }: AcquireRequest): boolean {
  return !fresh && holder !== undefined && holder.leased > 0;
}
