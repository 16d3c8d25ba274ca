/**
 * A bounded pool. Its one bound is on permits: each slot holds one, from the moment its connection begins to open
 * until its socket is shut. A slot is in exactly one state:
 *
 *     opening -> leased <-> idle -> closing -> gone
 *
 * Askers never wait for a particular connection. All wait in one queue; whatever becomes free, by opening, return or
 * death, is offered to the one that has waited longest in its owner scope. So an asker that leaves wastes nothing,
 * and every change of capacity passes through `#offer` or `#free`, which wake the queue.
 *
 * A socket is opened, used and closed on behalf of its scope alone (`OwnerScope.run`), whoever frees the permit for
 * it. On Workers a scope may end without a word: its permits carry a time at which they are taken back.
 */
import { AcquireQueue, type Waiter } from "./acquire_queue.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { QueueDelayControl } from "./codel.ts";
import { Connector } from "./connector.ts";
import type { Connection } from "../driver/driver.ts";
import { type PoolCounts, ScopeError } from "../errors.ts";
import { IdleList } from "./idle_list.ts";
import { type Leak, LeakWatch } from "./leak_watch.ts";
import { Lease, type LeaseReturn } from "./lease.ts";
import { type AcquireOptions, type Ask, askOf, type PoolOptions } from "./pool_options.ts";
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
import { type PoolCounters, PoolMetrics, type PoolStats } from "./pool_stats.ts";
import { type PoolView, viewOf } from "./pool_view.ts";
import type { OwnerScope } from "./owner_scope.ts";
import { ScopeShare, Slot } from "./pool_entry.ts";
import { completesWithin } from "../time/timeout.ts";

/** How long a ROLLBACK on return, and then a goodbye, may take before the socket is cut. */
const ROLLBACK_TIMEOUT_MS = 2_000;
const GOODBYE_TIMEOUT_MS = 1_000;
/** How long the holder of a revoked lease may take to stop its flight and return it. */
const REVOKE_TIMEOUT_MS = 2_000;
/** How long the owner of a permit may take to do what it was called for; a living one takes a turn of the event loop. */
const ANSWER_TIMEOUT_MS = 1_000;
/** How often those who wait look for permits of owners that have ended without a word. */
const LOOK_EVERY_MS = 500;

export class Pool {
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #limit: number;
  readonly #slots = new Set<Slot>();
  readonly #shares = new Map<OwnerScope, ScopeShare>();
  readonly #queue: AcquireQueue;
  readonly #delayControl: QueueDelayControl;
  readonly #connector: Connector;
  readonly #metrics = new PoolMetrics();
  readonly #counters: PoolCounters = this.#metrics.counters;
  readonly #empty = Promise.withResolvers<void>();
  readonly #ended = new WeakSet<OwnerScope>();
  /** Scopes to which a permit was held out, and that did not take it: those of them who wait may be dead. */
  readonly #silent = new WeakSet<OwnerScope>();
  /** Permits of scopes that may end without a word. */
  #expiring = 0;
  #closing: Promise<void> | undefined;
  #opened = 0;

  constructor(options: PoolOptions) {
    const { size, maxOverflow, clock = systemClock, random = Math.random } = options;
    const isCounted = Number.isSafeInteger(size) && Number.isSafeInteger(maxOverflow);
    if (!(isCounted && size >= 1 && maxOverflow >= 0)) {
      throw new RangeError(
        `Cannot make a pool as its size must be a whole number from 1 on and its overflow one from 0 on: current values are ${size} and ${maxOverflow}`,
      );
    }
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#limit = size + maxOverflow;
    this.#delayControl = new QueueDelayControl(options.shedTargetMs);
    this.#connector = new Connector({
      ...options,
      clock,
      random,
      metrics: this.#metrics,
      onReady: () => this.#wake(),
    });
    this.#queue = new AcquireQueue({
      clock,
      timeoutMs: options.acquireTimeoutMs,
      onTimeout: (waiter) => this.#refuse(waiter, "timedOut", timeoutError),
      onAbort: (waiter, { reason }) =>
        this.#refuse(waiter, "aborted", (facts) => abortedError(reason, facts)),
      onLook: () => this.#look(),
      nextLookAt: () => this.#expiring > 0 ? this.#clock.now() + LOOK_EVERY_MS : Infinity,
    });
  }

  /**
   * Leases a connection: an idle one of the scope, a new one while permits last, else the next that comes free.
   * Throws `PoolClosedError`, `PoolOverloadedError`, `AcquireTimeoutError`, `DeadlineError` when the signal aborts,
   * the `ConnectError` of a connection that was opened for the queue and failed, and `ScopeError` for code that runs
   * on behalf of another scope, and for a request that would wait for a second connection while it holds one.
   */
  acquire(options: AcquireOptions): Promise<Lease> {
    // Not async, likewise `#release`: each async layer takes turns of the microtask queue before the asker goes on.
    const { scope, signal } = options;
    // A timer set here would end with the wrong owner.
    if (!scope.isCurrent()) return Promise.reject(ScopeError.foreign());
    const ask = askOf(options);
    // Reading the clock is among the dearest things here, so that it is passed on.
    const nowMs = this.#clock.now();
    const slot = ask.fresh || this.#closing !== undefined || signal?.aborted
      ? undefined
      : this.#takeIdle(ask.scope, nowMs);
    if (slot !== undefined) {
      this.#delayControl.refuses(0, nowMs);
      return Promise.resolve(this.#lease(slot, { ask, since: nowMs }, nowMs));
    }
    const refusal = this.#refusal(ask, signal, nowMs);
    if (refusal !== undefined) return Promise.reject(refusal);
    const lease = this.#queue.push({ ask, since: nowMs }, signal);
    this.#wake();
    return lease;
  }

  stats(): PoolStats {
    return { ...this.#counts(), ...this.#metrics.snapshot() };
  }

  /** What each connection and each of those who wait is doing, for people to read. */
  inspect(): PoolView {
    const nowMs = this.#clock.now();
    return viewOf(
      { slots: this.#slots, queue: this.#queue, lastError: this.#connector.lastError },
      nowMs,
    );
  }

  /** Closes what an ended request left idle. Resolves when those sockets are shut. */
  async endScope(scope: OwnerScope): Promise<void> {
    // What comes back, or opens, after the end is not kept either.
    this.#ended.add(scope);
    const idle = this.#shares.get(scope)?.idle.takeAll() ?? [];
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
    for (const waiter of this.#queue) this.#refuse(waiter, undefined, poolClosedError);
    for (const { idle } of this.#shares.values()) {
      for (const slot of idle.takeAll()) void this.#discard(slot);
    }
    for (const slot of this.#slots) {
      if (slot.state === "opening") this.#giveUpOpening(slot);
    }
    if (this.#slots.size === 0) return;
    if (await this.#emptyWithin(timeoutMs)) return;
    for (const slot of this.#slots) {
      if (slot.state !== "leased") continue;
      const { lease } = slot;
      if (lease?.onRevoke === undefined) void this.#discard(slot);
      else slot.share.scope.run(() => lease.onRevoke?.());
    }
    await this.#emptyWithin(REVOKE_TIMEOUT_MS);
    for (const slot of this.#slots) void this.#discard(slot);
    if (await this.#emptyWithin(GOODBYE_TIMEOUT_MS + ANSWER_TIMEOUT_MS)) return;
    // Their owners have ended, and their sockets with them.
    for (const slot of this.#slots) this.#free(slot);
  }

  #emptyWithin(timeoutMs: number): Promise<boolean> {
    return completesWithin(this.#empty.promise, timeoutMs, this.#clock);
  }

  #giveUpOpening(slot: Slot): void {
    // One that was held out to its owner, and that nothing came of yet.
    if (slot.abort === undefined) return this.#free(slot);
    slot.share.scope.run(() => slot.abort?.abort(poolClosedError(this.#facts(0))));
  }

  #share(scope: OwnerScope): ScopeShare {
    let share = this.#shares.get(scope);
    if (share === undefined) {
      const { leaks } = this.#options;
      share = new ScopeShare(scope, {
        idle: new IdleList({
          clock: this.#clock,
          sweeps: scope.lasting,
          onDue: (slot) => void this.#discardOld(slot, this.#clock.now()),
        }),
        leaks: leaks && new LeakWatch({ ...leaks, onLeak: this.#onLeak }, this.#clock),
      });
      this.#shares.set(scope, share);
    }
    return share;
  }

  readonly #onLeak = (leak: Leak): void => {
    this.#counters.leaked++;
    this.#options.leaks?.onLeak(leak);
  };

  /** The most recently used idle connection that is neither too old nor idle for too long. */
  #takeIdle(scope: OwnerScope, nowMs: number): Slot | undefined {
    const idle = this.#shares.get(scope)?.idle;
    if (idle === undefined) return undefined;
    for (let slot = idle.pop(); slot !== undefined; slot = idle.pop()) {
      if (slot.connection?.state === "closed") this.#discardFor(slot, "broken");
      else if (!this.#discardOld(slot, nowMs)) return slot;
    }
    return undefined;
  }

  #discardOld(slot: Slot, nowMs: number): boolean {
    const cause = slot.generation !== this.#connector.generation
      ? "staleGeneration"
      : nowMs >= slot.replaceAt
      ? "recycled"
      : nowMs - slot.idleSince >= this.#options.idleTimeoutMs
      ? "idleClosed"
      : undefined;
    if (cause === undefined) return false;
    this.#discardFor(slot, cause);
    return true;
  }

  #lease(slot: Slot, { ask, since }: Waiter, nowMs: number): Lease {
    const { connection, share, isNew } = slot;
    if (connection === undefined) throw new Error("bug: leased a slot that has no connection");
    slot.become("leased");
    slot.isCalledIn = false;
    slot.leasedSince = nowMs;
    slot.label = ask.label;
    this.#counters.acquired++;
    this.#metrics.waitTimes.record(nowMs - since);
    const loginMs = connection.status === undefined ? this.#options.connectTimeoutMs : 0;
    this.#expireAt(slot, nowMs + loginMs + ask.holdMs);
    if (share.leaks !== undefined) {
      slot.held = share.leaks.add({ label: ask.label, since: nowMs, luck: this.#random() });
    }
    return slot.lease = new Lease(connection, {
      idleMs: isNew ? undefined : nowMs - slot.idleSince,
      onReturn: slot.onReturn,
    });
  }

  /** Opens connections for those who wait, while permits last. */
  #wake(): void {
    if (this.#closing !== undefined) return;
    for (const { ask: { scope } } of this.#queue) {
      if (this.#slots.size >= this.#limit) return this.#askForIdle();
      const opening = this.#shares.get(scope)?.counts.opening ?? 0;
      if (opening >= this.#queue.sizeOf(scope) || this.#silent.has(scope)) continue;
      const outageMs = this.#connector.outageMs(this.#clock.now());
      if (outageMs > 0) return this.#waitForProbe(outageMs);
      this.#open(scope);
    }
  }

  /** At the bound, idle connections that none of those who wait can use give their permits up. */
  #askForIdle(): void {
    const nowMs = this.#clock.now();
    const outageMs = this.#connector.outageMs(nowMs);
    if (outageMs > 0) return this.#waitForProbe(outageMs);
    let missing = this.#queue.size;
    for (const { state, isCalledIn } of this.#slots) {
      if (state === "opening" || state === "closing" || isCalledIn) missing--;
    }
    for (const slot of this.#slots) {
      if (missing <= 0) return;
      if (slot.state !== "idle" || slot.isCalledIn) continue;
      missing--;
      this.#callIn(slot, "overflowClosed");
    }
  }

  /** Has the owner close the connection. One that does not answer has ended, and its socket with it. */
  #callIn(slot: Slot, cause: keyof PoolCounters): void {
    slot.isCalledIn = true;
    this.#expireAt(slot, this.#clock.now() + ANSWER_TIMEOUT_MS);
    slot.share.scope.run(() => {
      // It may be in use again.
      if (!slot.isCalledIn) return;
      slot.abort?.abort();
      if (slot.state === "idle") slot.share.idle.remove(slot);
      if (slot.state !== "opening") this.#discardFor(slot, cause);
    });
  }

  /**
   * In an outage, those who wait can hope for a connection in use, while the database is heard of; else each probe
   * under way is the hope of one of them, and the others are told at once. For those who go on waiting the next probe
   * must be made: nobody else may come by to make it.
   */
  #waitForProbe(outageMs: number): void {
    const nowMs = this.#clock.now();
    let hopes = this.#hasLivingLease(nowMs) ? Infinity : this.#counts().opening;
    for (const waiter of this.#queue) {
      if (hopes-- > 0) continue;
      this.#refuse(waiter, "unreachable", (facts) => outageError(outageMs, facts));
    }
    this.#queue.lookAt(nowMs + outageMs);
  }

  /** Takes back what owners that have ended left behind, and opens what may be opened by now. */
  #look(): void {
    if (this.#expiring > 0) {
      const nowMs = this.#clock.now();
      this.#takeBackExpired(nowMs);
      this.#queue.refuseDead(nowMs);
    }
    this.#wake();
  }

  #takeBackExpired(nowMs: number): void {
    for (const slot of [...this.#slots].filter(({ expiresAt }) => expiresAt <= nowMs)) {
      if (slot.isCalledIn) {
        this.#counters.expired++;
        if (slot.state === "opening" && slot.abort === undefined) {
          this.#silent.add(slot.share.scope);
        }
        if (slot.state === "idle") slot.share.idle.remove(slot);
        this.#free(slot);
      } else {
        if (slot.held !== undefined) slot.share.leaks?.report(slot.held);
        this.#callIn(slot, slot.state === "idle" ? "idleClosed" : "expired");
      }
    }
  }

  #hasLivingLease(nowMs: number): boolean {
    return this.#connector.isAlive(nowMs) &&
      this.#slots.values().some(({ state, connection }) =>
        state === "leased" && connection?.status !== undefined
      );
  }

  #open(scope: OwnerScope): void {
    const nowMs = this.#clock.now();
    const slot = new Slot(this.#share(scope), {
      id: ++this.#opened,
      bornAt: nowMs,
      generation: this.#connector.generation,
      replaceAt: nowMs + this.#options.recycleMs * (1 - this.#random() / 10),
      onReturn: (slot): LeaseReturn => ({
        release: () => this.#release(slot),
        destroy: () => this.#destroy(slot),
      }),
    });
    this.#slots.add(slot);
    if (!scope.lasting && this.#expiring++ === 0) this.#queue.lookAt(nowMs + LOOK_EVERY_MS);
    slot.isCalledIn = true;
    this.#expireAt(slot, nowMs + ANSWER_TIMEOUT_MS);
    scope.run(() => void this.#connect(slot));
  }

  async #connect(slot: Slot): Promise<void> {
    const { share: { scope } } = slot;
    if (this.#silent.delete(scope)) this.#wake();
    // By the time that the owner came to it, the permit may have been taken back, or nobody may want it any more.
    if (slot.state !== "opening") return;
    if (this.#queue.sizeOf(scope) === 0) return this.#free(slot);
    slot.isCalledIn = false;
    slot.generation = this.#connector.generation;
    const { signal } = slot.abort = new AbortController();
    this.#expireAt(slot, this.#clock.now() + this.#options.connectTimeoutMs + GOODBYE_TIMEOUT_MS);
    const isWanted = () => slot.state !== "closing" && this.#closing === undefined;
    try {
      const connection = await this.#connector.open({ signal, isWanted });
      if (slot.state !== "opening") return void connection.close({ timeoutMs: GOODBYE_TIMEOUT_MS });
      slot.connection = connection;
      connection.closed.then(() => this.#closed(slot));
      this.#offer(slot, this.#clock.now());
    } catch (error) {
      if (slot.state !== "opening") return;
      const waiter = this.#queue.headOf(scope, { isNew: true });
      if (waiter !== undefined) this.#refuse(waiter, undefined, () => error as Error);
      this.#free(slot);
    }
  }

  /** A permit is for a connection: without one it is free, whether or not the lease has come back. */
  #closed(slot: Slot): void {
    if (slot.state === "idle") slot.share.idle.remove(slot);
    if (slot.state === "idle" || slot.state === "leased") this.#counters.broken++;
    this.#free(slot);
  }

  /** Gives a usable connection to the longest-waiting asker of its scope, or keeps it, or closes it. */
  #offer(slot: Slot, nowMs: number): void {
    const { share } = slot;
    if (this.#closing !== undefined) return void this.#discard(slot);
    const { isNew } = slot;
    if (!isNew && this.#lacksPermitsForFresh(share)) {
      return this.#discardFor(slot, "overflowClosed");
    }
    for (let waiter; (waiter = this.#queue.headOf(share.scope, { isNew })) !== undefined;) {
      // A wait for the first answer of a cold database is no sign of a queue that is too long.
      if (isNew || !this.#delayControl.refuses(nowMs - waiter.since, nowMs)) {
        return this.#queue.grant(waiter, this.#lease(slot, waiter, nowMs));
      }
      this.#refuse(waiter, "shed", shedError);
    }
    const isUseless = this.#lacksPermits() || this.#ended.has(share.scope);
    if (share.idle.size >= this.#options.size || isUseless) {
      return this.#discardFor(slot, "overflowClosed");
    }
    slot.become("idle");
    slot.isCalledIn = false;
    slot.idleSince = nowMs;
    slot.idleUntil = Math.min(nowMs + this.#options.idleTimeoutMs, slot.replaceAt);
    this.#expireAt(slot, slot.idleUntil);
    share.idle.push(slot);
    // Those who hoped for it in vain hear so, if there is an outage.
    if (this.#queue.size > 0) this.#wake();
  }

  /** Keeps the connection if its status byte says that it is clean, or can be made so. Never rejects. */
  #release(slot: Slot): Promise<void> {
    const { connection, state } = slot;
    const nowMs = this.#clock.now();
    this.#noteReturn(slot, nowMs);
    if (connection === undefined || state !== "leased") return Promise.resolve();
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.#mend(connection).then(() => this.#keep(slot, connection, this.#clock.now()));
    }
    this.#keep(slot, connection, nowMs);
    return Promise.resolve();
  }

  #destroy(slot: Slot): Promise<void> {
    this.#noteReturn(slot, this.#clock.now());
    if (slot.state === "leased") this.#counters.destroyed++;
    return this.#discard(slot);
  }

  async #mend(connection: Connection): Promise<void> {
    // Leased, then not used: it is as good as new once it is ready.
    if (connection.state === "opening") await connection.ready.catch(() => {});
    if (connection.state === "idle" && connection.status !== "I") {
      const rollback = connection.flight([{ text: "ROLLBACK", values: [] }]);
      await completesWithin(rollback, ROLLBACK_TIMEOUT_MS, this.#clock).catch(() => false);
    }
  }

  #keep(slot: Slot, connection: Connection, nowMs: number): void {
    if (slot.state !== "leased") return;
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.#discardFor(slot, "broken");
    }
    slot.idleSince = nowMs;
    this.#connector.heard(nowMs);
    if (!this.#discardOld(slot, nowMs)) this.#offer(slot, nowMs);
  }

  #noteReturn({ leasedSince, share, held }: Slot, nowMs: number): void {
    this.#metrics.useTimes.record(nowMs - leasedSince);
    if (held !== undefined) share.leaks?.remove(held);
  }

  #discardFor(slot: Slot, cause: keyof PoolCounters): void {
    this.#counters[cause]++;
    void this.#discard(slot);
  }

  /** The permit returns when the socket is shut: until then the server still counts the connection. */
  #discard(slot: Slot): Promise<void> {
    const { state, share, connection } = slot;
    if (state === "closing" || state === "gone") return slot.gone;
    slot.become("closing");
    if (connection === undefined) {
      this.#free(slot);
      return slot.gone;
    }
    slot.isCalledIn = true;
    this.#expireAt(slot, this.#clock.now() + GOODBYE_TIMEOUT_MS + ANSWER_TIMEOUT_MS);
    share.scope.run(() => {
      connection.close({ timeoutMs: GOODBYE_TIMEOUT_MS }).then(() => this.#free(slot));
    });
    return slot.gone;
  }

  #expireAt(slot: Slot, timeMs: number): void {
    if (!slot.share.scope.lasting) slot.expiresAt = timeMs;
  }

  #free(slot: Slot): void {
    if (!this.#slots.delete(slot)) return;
    const { share, share: { scope } } = slot;
    slot.become("gone");
    if (!scope.lasting) this.#expiring--;
    if (share.isUnused) {
      share.idle.takeAll();
      this.#shares.delete(scope);
    }
    if (this.#slots.size === 0 && this.#closing !== undefined) this.#empty.resolve();
    this.#wake();
  }

  #refusal(ask: Ask, signal: AbortSignal | undefined, nowMs: number): Error | undefined {
    const told = (error: (facts: RefusalFacts) => Error, count?: keyof PoolCounters) => {
      if (count !== undefined) this.#counters[count]++;
      const facts = this.#facts(0);
      return withPoolState(error(facts), facts);
    };
    if (this.#closing !== undefined) return told(poolClosedError);
    if (signal?.aborted) return told((facts) => abortedError(signal.reason, facts));
    const { maxWaiters } = this.#options;
    const isCrowded = this.#slots.size >= this.#limit || this.#queue.size >= maxWaiters;
    if (this.#expiring > 0 && isCrowded) this.#look();
    // Those who wait may be dead, and in everybody's way, where nobody has a reason to look.
    else if (this.#queue.size > 0) this.#queue.refuseDead(nowMs);
    const outageMs = this.#connector.outageMs(nowMs);
    const mayProbe = outageMs === 0 && this.#slots.size < this.#limit;
    // Another's probe is no hope: it may hang.
    if (this.#connector.isOut && !mayProbe && !this.#hasLivingLease(nowMs)) {
      // With no permit left, a probe can be made when one of those under way has ended.
      return told((facts) => outageError(outageMs || LOOK_EVERY_MS, facts), "unreachable");
    }
    // Whose connection has died had one: of those there are no more than permits.
    const mostWaiters = maxWaiters + (ask.fresh ? this.#limit : 0);
    if (this.#queue.size >= mostWaiters) return told(queueFullError, "queueFull");
    if (this.#holdsAndWaits(ask.scope)) return told(holdAndWaitError, "holdAndWait");
    return undefined;
  }

  #holdsAndWaits(scope: OwnerScope): boolean {
    if (scope.lasting || (this.#shares.get(scope)?.counts.leased ?? 0) === 0) return false;
    // What is idle can be had, and what is opening is for those who wait.
    return this.#queue.size > 0 || this.#counts().leased >= this.#limit;
  }

  /** Whether more wait than permits are on their way to, and all permits are taken. */
  #lacksPermits(): boolean {
    if (this.#queue.size === 0 || this.#slots.size < this.#limit) return false;
    const { opening, closing } = this.#counts();
    return this.#queue.size > opening + closing;
  }

  /** Whether one who goes ahead needs a permit for a connection of its own, and all are taken. */
  #lacksPermitsForFresh({ scope, counts: { opening, closing } }: ScopeShare): boolean {
    return this.#slots.size >= this.#limit && this.#queue.freshOf(scope) > opening + closing;
  }

  #refuse(
    waiter: Waiter,
    count: keyof PoolCounters | undefined,
    error: (facts: RefusalFacts) => Error,
  ): void {
    if (count !== undefined) this.#counters[count]++;
    const facts = this.#facts(this.#clock.now() - waiter.since);
    this.#queue.refuse(waiter, withPoolState(error(facts), facts));
  }

  #facts(waitedMs: number): RefusalFacts {
    return { counts: this.#counts(), waitedMs, cause: this.#connector.lastError };
  }

  #counts(): PoolCounts {
    const counts = { opening: 0, leased: 0, idle: 0, closing: 0, gone: 0 };
    for (const { state } of this.#slots) counts[state]++;
    const { opening, leased, idle, closing } = counts;
    return { limit: this.#limit, opening, leased, idle, closing, waiting: this.#queue.size };
  }
}
