/**
 * A bounded pool of connections. Its one bound is on permits, for all owners of sockets together:
 *
 * - `permits.ts` has the bound, its queue and the refusals;
 * - `owner_pool.ts` has the connections of one owner: a process, a Durable Object, or one request of a Worker;
 * - `reclaimer.ts` takes permits back from requests that ended without releasing them.
 */
import { ScopeError } from "../errors.ts";
import { systemClock } from "../time/clock.ts";
import { SharedTimer } from "../time/shared_timer.ts";
import { completesWithin } from "../time/timeout.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { Connector } from "./connector.ts";
import type { Lease } from "./lease.ts";
import { CLOSE_TIMEOUT_MS, OwnerPool, type PoolParts } from "./owner_pool.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { Permits } from "./permits.ts";
import { type AcquireOptions, assertPoolOptions, type PoolOptions } from "./pool_options.ts";
import { POOL_CLOSED } from "./pool_refusals.ts";
import { PoolMetrics, type PoolStats, type PoolTotals } from "./pool_stats.ts";
import { type PoolView, viewOf } from "./pool_view.ts";
import { OWNER_TIMEOUT_MS } from "./reclaimer.ts";

/** How long the holder of a revoked lease may take to stop its flight and return the lease. */
const REVOKE_TIMEOUT_MS = 2_000;

/** Default of `AcquireOptions.holdMs`. */
const DEFAULT_HOLD_MS = 30_000;

/** A pool of connections that the owners in one isolate share. Opens no connection until the first `acquire`. */
export class Pool {
  readonly #parts: PoolParts;
  readonly #permits: Permits;
  readonly #owners = new Map<OwnerScope, OwnerPool>();
  /** Scopes that have ended: a connection that comes back or opens later is not kept. */
  readonly #closedScopes = new WeakSet<OwnerScope>();
  /** A timer belongs to its owner, as a socket does. */
  readonly #deadlines = new WeakMap<OwnerScope, SharedTimer>();
  #closing: Promise<void> | undefined;

  /** Throws `RangeError` for an option that is not in its range. */
  constructor(options: PoolOptions) {
    assertPoolOptions(options);
    const { clock = systemClock, random = Math.random } = options;
    const metrics = new PoolMetrics();
    const breaker = new CircuitBreaker(random);
    const permits = this.#permits = new Permits({
      options,
      clock,
      counters: metrics.counters,
      breaker,
      ownerOf: (scope) => this.#owners.get(scope),
      openFor: (scope, nowMs) => this.#ownerPool(scope).open(nowMs),
      onUnused: (owner) => this.#forget(owner),
    });
    const connector = new Connector({
      ...options,
      clock,
      metrics,
      breaker,
      onReady: () => permits.wake(),
    });
    this.#parts = {
      options,
      clock,
      random,
      metrics,
      connector,
      permits,
      reclaimer: permits.reclaimer,
    };
  }

  /**
   * Leases a connection: an idle one of the scope, else a new one while permits last, else the next one that comes free.
   * A caller that shares goes behind others that do before a new one is opened for it (`shared_reads.ts`). The caller
   * returns the lease by `release()` or `destroy()`.
   *
   * Rejects with
   * - `PoolClosedError` if the pool is closing or closed;
   * - `PoolOverloadedError` at once if the queue is full or would take too long, or if the database cannot be reached;
   * - `AcquireTimeoutError` after a wait of `acquireTimeoutMs`;
   * - `DeadlineError` if `signal` aborts first;
   * - `ConnectError` if a connect for the scope's waiters fails while this caller is the first of them;
   * - `ScopeError` if the calling code runs on behalf of another scope, or if a request that holds a connection would
   *   wait for a second one.
   *
   * All but the first kind of `ScopeError` carry the pool's state in `pool`.
   */
  acquire(
    {
      scope,
      holder = scope.holder,
      signal,
      fresh = false,
      shares = false,
      again = false,
      holdMs = DEFAULT_HOLD_MS,
      label,
    }: AcquireOptions,
  ): Promise<Lease> {
    // Not async: each async function adds microtasks before the caller continues.
    // A timer that is set in another owner's context would end with that owner.
    if (!scope.isCurrent()) return Promise.reject(ScopeError.foreign());
    const mayShare = shares && scope.lasting && this.#parts.options.readDepth !== 1;
    const request = { scope, holder, fresh, shares: mayShare, again, holdMs, label };
    // `clock.now()` is expensive on this path: read it once and pass the value on.
    const nowMs = this.#parts.clock.now();
    if (!fresh && !this.#permits.isClosed && !signal?.aborted) {
      const owner = this.#owners.get(scope);
      if (mayShare) {
        const lease = owner?.reads.gather({ request, since: nowMs }, nowMs);
        if (lease !== undefined) return Promise.resolve(lease);
      }
      const entry = owner?.takeIdle(nowMs);
      if (entry !== undefined) {
        return Promise.resolve(owner!.lease(entry, { request, since: nowMs }, nowMs));
      }
      if (mayShare) {
        const lease = owner?.reads.join({ request, since: nowMs }, nowMs);
        if (lease !== undefined) return Promise.resolve(lease);
      }
    }
    return this.#permits.wait(request, signal, nowMs);
  }

  /** Grows each time the pool learns that the server has ended, or that the address leads to another one. */
  get generation(): number {
    return this.#parts.connector.generation;
  }

  /**
   * To be called if another server answers than before. Connections that were opened in this generation or earlier are
   * not reused, because they may lead to the former server. Does nothing if the generation has ended already.
   */
  endGeneration(generation: number): void {
    this.#parts.connector.endGeneration(generation);
  }

  /** How many reads share a connection once the pool needs all of them; 1 if none do. Those of requests' own scopes never do. */
  get readDepth(): number {
    for (const [{ lasting }, owner] of this.#owners) {
      if (lasting) return owner.reads.fullDepth;
    }
    return 1;
  }

  /** Counts by state, counters since the pool was made, and histograms. */
  stats(): PoolStats {
    return { ...this.totals(), ...this.#parts.metrics.snapshot() };
  }

  /** `stats()` without the histograms. */
  totals(): PoolTotals {
    return { ...this.#permits.counts(), counters: { ...this.#parts.metrics.counters } };
  }

  /** The state of each connection and of the first 20 waiters, for the operator. */
  inspect(): PoolView {
    const { clock, connector: { breaker } } = this.#parts;
    const { entries, queue } = this.#permits;
    return viewOf({ entries, queue, lastError: breaker.lastError }, clock.now());
  }

  /**
   * To be called when a request ends. Closes its idle connections, and those that come back later, and gives up connects
   * that none of its callers waits for. Resolves when all its permits are free: if the request ended before, its sockets
   * would end with it, and the pool would not know until the permits expire. A session that is never ended holds it up
   * for as long as the runtime lets `waitUntil` wait.
   */
  async endScope(scope: OwnerScope): Promise<void> {
    this.#closedScopes.add(scope);
    await this.#owners.get(scope)?.end();
  }

  /**
   * Refuses new callers and all waiters, and closes what is idle. Leases may finish within `timeoutMs`; then the pool
   * revokes them, so that the holders stop what still runs on the server. Resolves when all sockets are shut, or when
   * their owners did not close them in time. Never rejects. A second call returns the first one's promise.
   */
  close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#permits.isClosed = true;
    return this.#closing ??= this.#close(timeoutMs);
  }

  async #close(timeoutMs: number): Promise<void> {
    const permits = this.#permits;
    permits.refuseAll(POOL_CLOSED);
    for (const owner of this.#owners.values()) void owner.closeIdle("closedWithPool");
    for (const entry of permits.entries) {
      if (entry.state === "opening") entry.owner.giveUpConnect(entry);
    }
    if (await this.#emptyWithin(timeoutMs)) return;
    for (const entry of permits.entries) {
      if (entry.state !== "leased") continue;
      const { held, owner } = entry;
      const running = held.filter(({ onRevoke }) => onRevoke !== undefined);
      if (running.length === 0) owner.closeFor(entry, "closedWithPool");
      else owner.scope.run(() => running.forEach((lease) => lease.onRevoke?.()));
    }
    await this.#emptyWithin(REVOKE_TIMEOUT_MS);
    for (const entry of permits.entries) entry.owner.closeFor(entry, "closedWithPool");
    if (await this.#emptyWithin(CLOSE_TIMEOUT_MS + OWNER_TIMEOUT_MS)) return;
    // The owners that did not close their connections have ended, and the sockets ended with them.
    for (const entry of permits.entries) permits.release(entry);
  }

  async #emptyWithin(timeoutMs: number): Promise<boolean> {
    if (this.#permits.entries.size === 0) return true;
    return await completesWithin(this.#permits.empty, timeoutMs, this.#parts.clock);
  }

  #ownerPool(scope: OwnerScope): OwnerPool {
    let owner = this.#owners.get(scope);
    if (owner === undefined) {
      const deadlines = this.deadlinesOf(scope);
      owner = new OwnerPool({ scope, deadlines }, this.#parts);
      owner.hasEnded = this.#closedScopes.has(scope);
      this.#owners.set(scope, owner);
      // The end of a request may be seen on behalf of another one, whose timers it must not touch.
      if (scope.lasting) deadlines.keep();
    }
    return owner;
  }

  #forget(owner: OwnerPool): void {
    owner.dispose();
    this.#owners.delete(owner.scope);
    if (owner.scope.lasting) this.deadlinesOf(owner.scope).letGo();
  }

  /** @internal The pool's clock, for the deadlines of what the scope does with its connections. They share one timer. */
  deadlinesOf(scope: OwnerScope): SharedTimer {
    let deadlines = this.#deadlines.get(scope);
    if (deadlines === undefined) {
      this.#deadlines.set(scope, deadlines = new SharedTimer(this.#parts.clock));
    }
    return deadlines;
  }
}
