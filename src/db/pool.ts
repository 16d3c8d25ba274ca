/**
 * A bounded pool. Its one bound is on permits: each slot holds one, from the moment its connection begins to open
 * until its socket is shut. A slot is in exactly one state:
 *
 *     opening -> leased <-> idle -> closing -> gone
 *
 * Askers never wait for a particular connection. All wait in one queue; whatever becomes free, by opening, return or
 * death, is offered to the one that has waited longest in its owner scope. So an asker that leaves wastes nothing,
 * and every change of capacity passes through `#offer` or `#free`, which wake the queue.
 */
import { AcquireQueue, type Waiter } from "./acquire_queue.ts";
import { type Clock, systemClock } from "./clock.ts";
import { QueueDelayControl } from "./codel.ts";
import type { Connection } from "./driver.ts";
import { Generation } from "./generation.ts";
import { Lease, type LeaseReturn } from "./lease.ts";
import { Outage } from "./outage.ts";
import {
  abortedError,
  outageError,
  poolClosedError,
  queueFullError,
  shedError,
  timeoutError,
} from "./pool_refusals.ts";
import { newCounters, type PoolCounters, type PoolStats } from "./pool_stats.ts";
import type { OwnerScope } from "./scope.ts";
import { settledWithin } from "./timeout.ts";

export interface PoolOptions {
  connect(options: { timeoutMs: number; signal: AbortSignal }): Promise<Connection>;
  /** Connections kept. */
  readonly size: number;
  /** Permits beyond `size`. */
  readonly maxOverflow: number;
  readonly acquireTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Age at which a connection is replaced, less up to a tenth; `Infinity` for never. */
  readonly recycleMs: number;
  readonly idleTimeoutMs: number;
  readonly maxWaiters: number;
  /** CoDel's target for the wait in the queue; 0 for off. */
  readonly shedTargetMs: number;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

export interface AcquireOptions {
  readonly scope: OwnerScope;
  readonly signal?: AbortSignal | undefined;
  /** Takes no connection that was used before. */
  readonly fresh?: boolean;
}

/** How long a ROLLBACK on return, and then a goodbye, may take before the socket is cut. */
const ROLLBACK_TIMEOUT_MS = 2_000;
const GOODBYE_TIMEOUT_MS = 1_000;
/** How long the holder of a revoked lease may take to stop its flight and return it. */
const REVOKE_TIMEOUT_MS = 2_000;

interface Slot {
  readonly scope: OwnerScope;
  readonly abort: AbortController;
  readonly onReturn: LeaseReturn;
  state: "opening" | "leased" | "idle" | "closing";
  connection: Connection | undefined;
  lease: Lease | undefined;
  /** Of the server, when it began to open. */
  readonly generation: number;
  replaceAt: number;
  idleSince: number;
}

/** What the pool knows of one owner scope. */
interface ScopeState {
  readonly idle: Slot[];
  opening: number;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #limit: number;
  readonly #slots = new Set<Slot>();
  readonly #scopes = new Map<OwnerScope, ScopeState>();
  readonly #queue: AcquireQueue;
  readonly #delayControl: QueueDelayControl;
  readonly #outage: Outage;
  readonly #generation = new Generation();
  readonly #empty = Promise.withResolvers<void>();
  readonly #counters: PoolCounters = newCounters();
  #closing: Promise<void> | undefined;
  #cancelSweep: (() => void) | undefined;
  #sweepAt = Infinity;
  #cancelProbe: (() => void) | undefined;
  readonly #ended = new WeakSet<OwnerScope>();

  constructor(options: PoolOptions) {
    const { size, maxOverflow, clock = systemClock, random = Math.random } = options;
    if (!(size >= 1 && maxOverflow >= 0)) {
      throw new RangeError(
        `Cannot make a pool as its size must be at least 1 and its overflow at least 0: current values are ${size} and ${maxOverflow}`,
      );
    }
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#limit = size + maxOverflow;
    this.#delayControl = new QueueDelayControl(options.shedTargetMs);
    this.#outage = new Outage(random);
    const { acquireTimeoutMs: timeoutMs } = options;
    this.#queue = new AcquireQueue({
      clock,
      timeoutMs,
      onTimeout: (waiter) => {
        this.#counters.timedOut++;
        const cause = this.#outage.lastError;
        this.#queue.refuse(waiter, timeoutError(this.stats(), { timeoutMs, cause }));
      },
      onAbort: (waiter, signal) => {
        this.#counters.aborted++;
        this.#queue.refuse(waiter, abortedError(signal));
      },
      onEmpty: () => this.#cancelPlannedProbe(),
    });
  }

  /**
   * Leases a connection: an idle one of the scope, a new one while permits last, else the next that comes free.
   * Throws `PoolClosedError`, `PoolOverloadedError`, `AcquireTimeoutError`, `DeadlineError` when the signal aborts,
   * and the `ConnectError` of a connection that was opened for the queue and failed.
   */
  acquire({ scope, signal, fresh = false }: AcquireOptions): Promise<Lease> {
    // Not async, likewise `#release`: each async layer takes turns of the microtask queue before the asker goes on.
    if (this.#closing !== undefined) return Promise.reject(poolClosedError());
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    // Reading the clock is among the dearest things here, so that it is passed on.
    const nowMs = this.#clock.now();
    const slot = fresh ? undefined : this.#takeIdle(scope, nowMs);
    if (slot !== undefined) {
      this.#delayControl.refuses(0, nowMs);
      return Promise.resolve(this.#lease(slot, nowMs));
    }
    const refusal = this.#refusal(nowMs);
    if (refusal !== undefined) return Promise.reject(refusal);
    return this.#wait({ scope, fresh, since: nowMs }, signal);
  }

  stats(): PoolStats {
    const counts = { opening: 0, leased: 0, idle: 0, closing: 0 };
    for (const { state } of this.#slots) counts[state]++;
    return {
      limit: this.#limit,
      ...counts,
      waiting: this.#queue.size,
      counters: { ...this.#counters },
    };
  }

  /** Closes what an ended request left idle. Resolves when those sockets are shut. */
  async endScope(scope: OwnerScope): Promise<void> {
    // What comes back, or opens, after the end is not kept either.
    this.#ended.add(scope);
    const idle = this.#scopes.get(scope)?.idle.splice(0) ?? [];
    await Promise.all(idle.map((slot) => this.#discard(slot)));
  }

  /**
   * Refuses new work, fails the waiters, lets leases finish until `timeoutMs`, then revokes them, so that what they
   * still run on the server is stopped. Resolves when all sockets are shut; never rejects.
   */
  close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    return this.#closing ??= this.#close(timeoutMs);
  }

  async #close(timeoutMs: number): Promise<void> {
    // The caller's assignment of the promise comes after the first await: nothing may be leased in between.
    await null;
    this.#cancelSweep?.();
    this.#cancelPlannedProbe();
    for (const waiter of this.#queue) this.#queue.refuse(waiter, poolClosedError());
    for (const { idle } of this.#scopes.values()) {
      for (const slot of idle.splice(0)) void this.#discard(slot);
    }
    for (const slot of this.#slots) {
      if (slot.state === "opening") slot.abort.abort(poolClosedError());
    }
    if (this.#slots.size === 0) return;
    if (await settledWithin(this.#empty.promise, timeoutMs)) return;
    for (const slot of this.#slots) {
      if (slot.state !== "leased") continue;
      if (slot.lease?.onRevoke === undefined) void this.#discard(slot);
      else slot.lease.onRevoke();
    }
    await settledWithin(this.#empty.promise, REVOKE_TIMEOUT_MS);
    for (const slot of this.#slots) void this.#discard(slot);
    await this.#empty.promise;
  }

  #scope(scope: OwnerScope): ScopeState {
    let state = this.#scopes.get(scope);
    if (state === undefined) {
      this.#scopes.set(scope, state = { idle: [], opening: 0 });
    }
    return state;
  }

  #forgetIfUnused(scope: OwnerScope): void {
    const state = this.#scopes.get(scope);
    if (state?.idle.length === 0 && state.opening === 0) {
      this.#scopes.delete(scope);
    }
  }

  /** The most recently used idle connection that is neither too old nor idle for too long. */
  #takeIdle(scope: OwnerScope, nowMs: number): Slot | undefined {
    const idle = this.#scopes.get(scope)?.idle ?? [];
    for (let slot = idle.pop(); slot !== undefined; slot = idle.pop()) {
      if (slot.connection?.state === "closed") {
        this.#counters.broken++;
        void this.#discard(slot);
      } else if (!this.#discardIfOld(slot, nowMs)) return slot;
    }
    return undefined;
  }

  #discardIfOld(slot: Slot, nowMs: number): boolean {
    const isOld = nowMs >= slot.replaceAt;
    const isOutlived = slot.generation !== this.#generation.current;
    const isStale = nowMs - slot.idleSince >= this.#options.idleTimeoutMs;
    if (!isOld && !isOutlived && !isStale) return false;
    this.#counters[isOutlived ? "outlived" : isOld ? "recycled" : "idleClosed"]++;
    void this.#discard(slot);
    return true;
  }

  #lease(slot: Slot, nowMs: number): Lease {
    const { connection, idleSince, onReturn } = slot;
    if (connection === undefined) throw new Error("bug: leased a slot that has no connection");
    slot.state = "leased";
    this.#counters.acquired++;
    return slot.lease = new Lease(connection, {
      idleMs: Number.isFinite(idleSince) ? nowMs - idleSince : undefined,
      onReturn,
    });
  }

  #wait(waiter: Waiter, signal: AbortSignal | undefined): Promise<Lease> {
    const promise = this.#queue.push(waiter, signal);
    this.#wake();
    return promise;
  }

  /** Opens connections for those who wait, while permits last. */
  #wake(): void {
    if (this.#closing !== undefined) return;
    for (const { scope } of this.#queue) {
      if (this.#slots.size >= this.#limit) return this.#closeUselessIdle();
      const opening = this.#scopes.get(scope)?.opening ?? 0;
      if (opening >= this.#queue.sizeOf(scope)) continue;
      const outageMs = this.#outage.remainingMs(this.#clock.now());
      if (outageMs > 0) return this.#waitForProbe(outageMs);
      void this.#open(scope);
    }
  }

  /** At the bound, idle connections that none of those who wait can use give their permits up. */
  #closeUselessIdle(): void {
    const outageMs = this.#outage.remainingMs(this.#clock.now());
    if (outageMs > 0) return this.#waitForProbe(outageMs);
    let missing = this.#queue.size;
    for (const { state } of this.#slots) {
      if (state === "opening" || state === "closing") missing--;
    }
    for (const slot of this.#slots) {
      if (missing <= 0) return;
      // A request's socket is its own to close: elsewhere that is I/O on behalf of another request.
      if (slot.state !== "idle" || !slot.scope.lasting) continue;
      missing--;
      this.#removeIdle(slot);
      this.#counters.overflowClosed++;
      void this.#discard(slot);
    }
  }

  #removeIdle(slot: Slot): void {
    const { idle } = this.#scope(slot.scope);
    idle.splice(idle.indexOf(slot), 1);
  }

  /**
   * In an outage, those who wait can hope for a connection in use, while the database is heard of; else each probe
   * under way is the hope of one of them, and the others are told at once. For those who go on waiting the next probe
   * must be made: nobody else may come by to make it.
   */
  #waitForProbe(outageMs: number): void {
    const nowMs = this.#clock.now();
    let hopes = this.#hasLivingLease(nowMs) ? Infinity : this.#opening();
    for (const waiter of this.#queue) {
      if (hopes-- > 0) continue;
      this.#counters.refused++;
      this.#queue.refuse(waiter, this.#outageError(nowMs));
    }
    if (this.#queue.size === 0) return;
    this.#cancelProbe ??= this.#clock.after(outageMs, () => {
      this.#cancelProbe = undefined;
      this.#wake();
    });
  }

  #cancelPlannedProbe(): void {
    this.#cancelProbe?.();
    this.#cancelProbe = undefined;
  }

  #opening(): number {
    return this.#slots.values().filter(({ state }) => state === "opening").toArray().length;
  }

  #hasLivingLease(nowMs: number): boolean {
    return this.#outage.isAlive(nowMs) &&
      this.#slots.values().some(({ state, connection }) =>
        state === "leased" && connection?.status !== undefined
      );
  }

  async #open(scope: OwnerScope): Promise<void> {
    const slot: Slot = {
      scope,
      abort: new AbortController(),
      onReturn: { release: () => this.#release(slot), destroy: () => this.#discard(slot) },
      state: "opening",
      connection: undefined,
      lease: undefined,
      generation: this.#generation.current,
      replaceAt: this.#clock.now() + this.#options.recycleMs * (1 - this.#random() / 10),
      idleSince: Infinity,
    };
    this.#slots.add(slot);
    this.#scope(scope).opening++;
    const sinceMs = this.#clock.now();
    this.#outage.probing(sinceMs);
    try {
      const connection = await this.#options.connect({
        timeoutMs: this.#options.connectTimeoutMs,
        signal: slot.abort.signal,
      });
      this.#scope(scope).opening--;
      if (slot.state !== "opening") return void connection.close({ timeoutMs: GOODBYE_TIMEOUT_MS });
      slot.connection = connection;
      this.#watch(slot, { connection, sinceMs });
      this.#offer(slot, this.#clock.now());
    } catch (error) {
      this.#scope(scope).opening--;
      this.#connectFailed(error as Error, { of: slot.generation, sinceMs });
      const waiter = this.#queue.headOf(scope);
      if (waiter !== undefined) this.#queue.refuse(waiter, error as Error);
      this.#free(slot);
    }
  }

  #watch(
    slot: Slot,
    { connection, sinceMs }: { connection: Connection; sinceMs: number },
  ): void {
    connection.ready.then(() => {
      this.#counters.connected++;
      this.#outage.ended(this.#clock.now());
      this.#wake();
    }, (error) => {
      // A login that the pool itself gave up says nothing of the database.
      if (slot.state !== "closing") this.#connectFailed(error, { of: slot.generation, sinceMs });
    });
    connection.closed.then((reason) => {
      // A refused login is told by `ready`.
      if (reason !== undefined && connection.status !== undefined) {
        this.#generation.observe(reason, { nowMs: this.#clock.now(), of: slot.generation });
      }
      if (slot.state !== "idle") return;
      this.#counters.broken++;
      this.#removeIdle(slot);
      this.#free(slot);
    });
  }

  #connectFailed(error: Error, { of, sinceMs }: { of: number; sinceMs: number }): void {
    if (this.#closing !== undefined) return;
    this.#counters.connectFailed++;
    const nowMs = this.#clock.now();
    this.#generation.observe(error, { nowMs, of });
    this.#outage.failed(error, { sinceMs, nowMs });
  }

  /** Gives a usable connection to the longest-waiting asker of its scope, or keeps it, or closes it. */
  #offer(slot: Slot, nowMs: number): void {
    if (this.#closing !== undefined) return void this.#discard(slot);
    for (
      let waiter = this.#queue.headOf(slot.scope);
      waiter;
      waiter = this.#queue.headOf(slot.scope)
    ) {
      if (waiter.fresh && Number.isFinite(slot.idleSince)) return void this.#discard(slot);
      const delayMs = nowMs - waiter.since;
      // A wait for the first answer of a cold database is no sign of a queue that is too long.
      const isNew = !Number.isFinite(slot.idleSince);
      if (isNew || !this.#delayControl.refuses(delayMs, nowMs)) {
        return this.#queue.grant(waiter, this.#lease(slot, nowMs));
      }
      this.#counters.refused++;
      this.#queue.refuse(waiter, shedError(this.stats(), delayMs));
    }
    const { idle } = this.#scope(slot.scope);
    const isUseless = this.#queue.size > 0 || this.#ended.has(slot.scope);
    if (idle.length >= this.#options.size || isUseless) {
      this.#counters.overflowClosed++;
      return void this.#discard(slot);
    }
    slot.state = "idle";
    slot.idleSince = nowMs;
    idle.push(slot);
    if (slot.scope.lasting) this.#planSweep(this.#dueAt(slot));
  }

  /** Keeps the connection if its status byte says that it is clean, or can be made so. Never rejects. */
  #release(slot: Slot): Promise<void> {
    const { connection, state } = slot;
    if (connection === undefined || state !== "leased") return Promise.resolve();
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.#mend(connection).then(() => this.#keep(slot, connection));
    }
    this.#keep(slot, connection);
    return Promise.resolve();
  }

  async #mend(connection: Connection): Promise<void> {
    // Leased, then not used: it is as good as new once it is ready.
    if (connection.state === "opening") await connection.ready.catch(() => {});
    if (connection.state === "idle" && connection.status !== "I") {
      const rollback = connection.flight([{ text: "ROLLBACK", values: [] }]);
      await settledWithin(rollback, ROLLBACK_TIMEOUT_MS).catch(() => false);
    }
  }

  #keep(slot: Slot, connection: Connection): void {
    if (slot.state !== "leased") return;
    if (connection.state !== "idle" || connection.status !== "I") {
      this.#counters.broken++;
      return void this.#discard(slot);
    }
    const nowMs = slot.idleSince = this.#clock.now();
    this.#outage.heard(nowMs);
    if (!this.#discardIfOld(slot, nowMs)) this.#offer(slot, nowMs);
  }

  /** The permit returns when the socket is shut: until then the server still counts the connection. */
  async #discard(slot: Slot): Promise<void> {
    if (slot.state === "closing") return;
    slot.state = "closing";
    await slot.connection?.close({ timeoutMs: GOODBYE_TIMEOUT_MS });
    this.#free(slot);
  }

  #free(slot: Slot): void {
    this.#slots.delete(slot);
    this.#forgetIfUnused(slot.scope);
    if (this.#slots.size === 0 && this.#closing !== undefined) this.#empty.resolve();
    this.#wake();
  }

  /** Keeps one timer, for whichever idle connection is due first. Only where the owner outlives a request. */
  #planSweep(dueAt: number): void {
    if (dueAt >= this.#sweepAt) return;
    this.#cancelSweep?.();
    this.#sweepAt = dueAt;
    this.#cancelSweep = this.#clock.after(Math.max(0, dueAt - this.#clock.now()), () => {
      this.#cancelSweep = undefined;
      this.#sweepAt = Infinity;
      const nowMs = this.#clock.now();
      for (const slot of this.#lastingIdle()) {
        if (this.#discardIfOld(slot, nowMs)) this.#removeIdle(slot);
        else this.#planSweep(this.#dueAt(slot));
      }
    });
  }

  #dueAt({ idleSince, replaceAt }: Slot): number {
    return Math.min(idleSince + this.#options.idleTimeoutMs, replaceAt);
  }

  #lastingIdle(): Slot[] {
    return [...this.#slots].filter(({ state, scope }) => state === "idle" && scope.lasting);
  }

  #refusal(nowMs: number): Error | undefined {
    const mayProbe = this.#outage.remainingMs(nowMs) === 0 && this.#slots.size < this.#limit;
    const isOut = this.#outage.isOn && !mayProbe;
    // Another's probe is no hope: it may hang.
    if (isOut && !this.#hasLivingLease(nowMs)) {
      this.#counters.refused++;
      return this.#outageError(nowMs);
    }
    if (this.#queue.size < this.#options.maxWaiters) return undefined;
    this.#counters.refused++;
    return queueFullError(this.stats(), this.#outage.lastError);
  }

  #outageError(nowMs: number): Error {
    return outageError(this.#outage.remainingMs(nowMs), this.#outage.lastError);
  }
}
