/**
 * A bounded pool. Its one bound is on permits, whoever owns the sockets:
 *
 * - `permits.ts` is the bound, its queue and its refusals;
 * - `owner_pool.ts` is the connections of one owner: a process, a Durable Object, or one request of a Worker;
 * - `reclaimer.ts` takes permits back from requests that ended without releasing them.
 */
import { ScopeError } from "../errors.ts";
import { systemClock } from "../time/clock.ts";
import { completesWithin } from "../time/timeout.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { Connector } from "./connector.ts";
import type { Lease } from "./lease.ts";
import { GOODBYE_TIMEOUT_MS, OwnerPool, type PoolParts } from "./owner_pool.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { Permits } from "./permits.ts";
import type { AcquireOptions, PoolOptions } from "./pool_options.ts";
import { poolClosedError } from "./pool_refusals.ts";
import { PoolMetrics, type PoolStats } from "./pool_stats.ts";
import { type PoolView, viewOf } from "./pool_view.ts";
import { OWNER_TIMEOUT_MS } from "./reclaimer.ts";

/** How long the holder of a revoked lease may take to stop its flight and return it. */
const REVOKE_TIMEOUT_MS = 2_000;

/** The longest transaction, if the caller names none. */
const DEFAULT_HOLD_MS = 30_000;

export class Pool {
  readonly #parts: PoolParts;
  readonly #permits: Permits;
  readonly #owners = new Map<OwnerScope, OwnerPool>();
  /** Scopes that have ended: what comes back, or opens, afterwards is not kept. */
  readonly #closedScopes = new WeakSet<OwnerScope>();
  #closing: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    const { size, maxOverflow, clock = systemClock, random = Math.random } = options;
    const isCounted = Number.isSafeInteger(size) && Number.isSafeInteger(maxOverflow);
    if (!(isCounted && size >= 1 && maxOverflow >= 0)) {
      throw new RangeError(
        `Cannot make a pool as its size must be a whole number from 1 on and its overflow one from 0 on: current values are ${size} and ${maxOverflow}`,
      );
    }
    const metrics = new PoolMetrics();
    const breaker = new CircuitBreaker(random);
    const permits = this.#permits = new Permits({
      options,
      clock,
      counters: metrics.counters,
      breaker,
      find: (scope) => this.#owners.get(scope),
      open: (scope, nowMs) => this.#ownerPool(scope).open(nowMs),
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
   * Leases a connection: an idle one of the scope, a new one while permits last, else the next that comes free.
   * Throws `PoolClosedError`, `PoolOverloadedError`, `AcquireTimeoutError`, `DeadlineError` when the signal aborts,
   * the `ConnectError` of a connection that was opened for the queue and failed, and `ScopeError` for code that runs
   * on behalf of another scope, and for a request that would wait for a second connection while it holds one.
   */
  acquire(
    { scope, signal, fresh = false, holdMs = DEFAULT_HOLD_MS, label }: AcquireOptions,
  ): Promise<Lease> {
    // Not async: each async layer takes turns of the microtask queue before the caller goes on.
    // A timer that is set here would end with the wrong owner.
    if (!scope.isCurrent()) return Promise.reject(ScopeError.foreign());
    const request = { scope, fresh, holdMs, label };
    // `clock.now()` is expensive on this path: read it once and pass the value on.
    const nowMs = this.#parts.clock.now();
    if (!fresh && !this.#permits.isClosed && !signal?.aborted) {
      const owner = this.#owners.get(scope);
      const entry = owner?.takeIdle(nowMs);
      if (entry !== undefined) {
        this.#permits.noteServedAtOnce(nowMs);
        return Promise.resolve(owner!.lease(entry, { request, since: nowMs }, nowMs));
      }
    }
    return this.#permits.wait(request, signal, nowMs);
  }

  stats(): PoolStats {
    return { ...this.#permits.counts(), ...this.#parts.metrics.snapshot() };
  }

  /** What each connection and each of the first waiters is doing, for people to read. */
  inspect(): PoolView {
    const { clock, connector: { breaker } } = this.#parts;
    const { entries, queue } = this.#permits;
    return viewOf({ entries, queue, lastError: breaker.lastError }, clock.now());
  }

  /** Closes what an ended request left idle. Resolves when those sockets are shut. */
  async endScope(scope: OwnerScope): Promise<void> {
    this.#closedScopes.add(scope);
    const owner = this.#owners.get(scope);
    if (owner === undefined) return;
    owner.hasEnded = true;
    await owner.closeIdle("overflowClosed");
  }

  /**
   * Refuses new work, fails the waiters, lets leases finish until `timeoutMs`, then revokes them, so that what they
   * still run on the server is stopped. Resolves when all sockets are shut; never rejects.
   */
  close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#permits.isClosed = true;
    return this.#closing ??= this.#close(timeoutMs);
  }

  async #close(timeoutMs: number): Promise<void> {
    const permits = this.#permits;
    permits.refuseAll(poolClosedError);
    for (const owner of this.#owners.values()) void owner.closeIdle("closedWithPool");
    for (const entry of permits.entries) {
      if (entry.state === "opening") entry.owner.giveUpOpening(entry);
    }
    if (await this.#emptyWithin(timeoutMs)) return;
    for (const entry of permits.entries) {
      if (entry.state !== "leased") continue;
      const { lease, owner } = entry;
      if (lease?.onRevoke === undefined) owner.closeFor(entry, "closedWithPool");
      else owner.scope.run(() => lease.onRevoke?.());
    }
    await this.#emptyWithin(REVOKE_TIMEOUT_MS);
    for (const entry of permits.entries) entry.owner.closeFor(entry, "closedWithPool");
    if (await this.#emptyWithin(GOODBYE_TIMEOUT_MS + OWNER_TIMEOUT_MS)) return;
    // Their owners have ended, and their sockets with them.
    for (const entry of permits.entries) permits.release(entry);
  }

  async #emptyWithin(timeoutMs: number): Promise<boolean> {
    if (this.#permits.entries.size === 0) return true;
    return await completesWithin(this.#permits.empty, timeoutMs, this.#parts.clock);
  }

  #ownerPool(scope: OwnerScope): OwnerPool {
    let owner = this.#owners.get(scope);
    if (owner === undefined) {
      owner = new OwnerPool(scope, this.#parts);
      owner.hasEnded = this.#closedScopes.has(scope);
      this.#owners.set(scope, owner);
    }
    return owner;
  }

  #forget(owner: OwnerPool): void {
    owner.retire();
    this.#owners.delete(owner.scope);
  }
}
