/**
 * The connections of one owner scope: opens, leases, takes back and closes them. Each holds a permit of the pool's bound
 * (`permits.ts`) from the moment it begins to open until its socket is shut. A socket is opened, used and closed on
 * behalf of its owner alone (`OwnerScope.run`), also where the request of another owner frees the permit.
 */
import type { Connection } from "../driver/driver.ts";
import type { Clock } from "../time/clock.ts";
import { completesWithin } from "../time/timeout.ts";
import type { Waiter } from "./acquire_queue.ts";
import type { Connector } from "./connector.ts";
import { IdleList } from "./idle_list.ts";
import { LeakWatch, type WatchedLease } from "./leak_watch.ts";
import { type DestroyCause, Lease } from "./lease.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { Permits } from "./permits.ts";
import { PoolEntry, zeroCounts } from "./pool_entry.ts";
import type { PoolOptions } from "./pool_options.ts";
import type { PoolCounters, PoolMetrics } from "./pool_stats.ts";
import { OWNER_TIMEOUT_MS, type Reclaimer } from "./reclaimer.ts";
import { SharedReads } from "./shared_reads.ts";
import type { QueueNode } from "./waiter_queue.ts";

/** How long the ROLLBACK of a returned connection may take; after that the connection is closed. */
const ROLLBACK_TIMEOUT_MS = 2_000;

/** How long the server may take to close its side; after that the socket is cut. */
export const CLOSE_TIMEOUT_MS = 1_000;

/**
 * How long a connection beyond `size` stays idle. Closed at once, each would have to log in again for the next request of
 * a load that needs more than `size`.
 */
const SURPLUS_IDLE_TIMEOUT_MS = 1_000;

/** What the pools of all owners share. */
export interface PoolParts {
  readonly options: PoolOptions;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: PoolMetrics;
  readonly connector: Connector;
  readonly permits: Permits;
  readonly reclaimer: Reclaimer;
}

export class OwnerPool {
  readonly scope: OwnerScope;
  readonly counts = zeroCounts();
  /** Where reads share connections. */
  readonly reads: SharedReads;
  /** Whether the owner has ended: no connection that comes back is kept. */
  hasEnded = false;
  readonly #parts: PoolParts;
  readonly #idle: IdleList<PoolEntry>;
  readonly #leaks: LeakWatch | undefined;

  /** `deadlines` is the pool's clock, whose timer the scope's other deadlines share. */
  constructor({ scope, deadlines }: { scope: OwnerScope; deadlines: Clock }, parts: PoolParts) {
    const { clock, metrics, options: { leaks } } = parts;
    this.scope = scope;
    this.#parts = parts;
    this.#idle = new IdleList({
      clock,
      sweeps: scope.lasting,
      onDue: (entry) => void this.#closeIfStale(entry, clock.now()),
    });
    this.reads = new SharedReads(this, parts);
    this.#leaks = leaks && new LeakWatch(leaks, { clock: deadlines, counters: metrics.counters });
  }

  get isUnused(): boolean {
    const { opening, leased, idle, closing } = this.counts;
    return opening + leased + idle + closing === 0;
  }

  /** The most recently used idle connection that is neither too old nor idle for too long. */
  takeIdle(nowMs: number): PoolEntry | undefined {
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      if (entry.connection?.state === "closed") this.closeFor(entry, "broken");
      else if (!this.#closeIfStale(entry, nowMs)) return entry;
    }
    return undefined;
  }

  lease(entry: PoolEntry, waiter: Waiter, nowMs: number): Lease {
    const { connection, isNew } = entry;
    if (connection === undefined) throw new Error("bug: leased an entry that has no connection");
    const { request } = waiter;
    const { options, reclaimer } = this.#parts;
    entry.become("leased");
    entry.pending = undefined;
    entry.leasedSince = nowMs;
    entry.idleUntil = Infinity;
    entry.label = request.label;
    entry.leases++;
    entry.lease = entry.watch = undefined;
    if (request.shares) return this.reads.begin(entry, waiter, nowMs);
    entry.beginHold(request.holder);
    const loginMs = connection.status === undefined ? options.connectTimeoutMs : 0;
    reclaimer.expireAt(entry, nowMs + loginMs + request.holdMs);
    entry.watch = this.beginLease(waiter, nowMs);
    return entry.lease = new Lease(connection, {
      idleMs: isNew ? undefined : nowMs - entry.idleSince,
      number: entry.leases,
      onReturn: {
        release: () => this.#release(entry),
        destroy: (cause) => this.#destroy(entry, cause),
      },
    });
  }

  /** Takes a permit and opens a connection with it, for the owner's waiters. */
  open(nowMs: number): void {
    const { options, random, connector, permits, reclaimer } = this.#parts;
    const entry = new PoolEntry(this, {
      id: permits.nextId(),
      bornAt: nowMs,
      generation: connector.generation,
      replaceAt: nowMs + options.recycleMs * (1 - random() / 10),
    });
    permits.add(entry, nowMs);
    reclaimer.askOwner(entry, "connect", () => void this.#connect(entry));
  }

  async #connect(entry: PoolEntry): Promise<void> {
    const { options, clock, connector, permits, reclaimer } = this.#parts;
    if (permits.queue.sizeOf(this.scope) === 0) return permits.release(entry);
    entry.pending = undefined;
    entry.generation = connector.generation;
    const { signal } = entry.connecting = new AbortController();
    reclaimer.expireAt(entry, clock.now() + options.connectTimeoutMs + CLOSE_TIMEOUT_MS);
    // A driver may not heed the abort of a connect that was given up: its end then tells nothing of the database.
    const isWanted = () =>
      entry.state !== "closing" && entry.pending !== "close" && !permits.isClosed &&
      !signal.aborted;
    try {
      const isInterrupted = () => entry.held.some(({ isInterrupted }) => isInterrupted);
      const connection = await connector.open({ signal, isWanted, isInterrupted });
      entry.connection = connection;
      if (entry.state !== "opening") return this.closeSocket(entry);
      connection.closed.then(() => this.#noteSocketClosed(entry));
      this.#handOver(entry, clock.now());
    } catch (error) {
      if (entry.state !== "opening") return;
      if (entry.pending === "close") permits.refuseSurplusOf(this);
      else permits.refuseHeadOf(this.scope, error as Error);
      permits.release(entry);
    }
  }

  /** The connection has ended by itself. Its permit is free at once, also while the lease is still held. */
  #noteSocketClosed(entry: PoolEntry): void {
    if (entry.state === "idle") this.#idle.remove(entry);
    if (entry.state === "idle" || entry.state === "leased") this.countClosed(entry, "broken");
    this.reads.end(entry);
    this.#parts.permits.release(entry);
  }

  /** Gives a usable connection to the owner's first waiter, or keeps it, or closes it. */
  #handOver(entry: PoolEntry, nowMs: number): void {
    const { options, permits, reclaimer } = this.#parts;
    if (permits.isClosed) return this.closeFor(entry, "closedWithPool");
    if (!entry.isNew && permits.hasFreshShortage(this)) {
      return this.closeFor(entry, "overflowClosed");
    }
    const waiter = permits.queue.headOf(this.scope, entry);
    if (waiter !== undefined) {
      permits.grant(waiter, this.lease(entry, waiter, nowMs));
      return this.reads.fill(entry);
    }
    const isSurplus = this.#idle.size >= options.size;
    if (this.hasEnded || permits.hasShortage || isSurplus && !this.scope.lasting) {
      return this.closeFor(entry, "overflowClosed");
    }
    entry.become("idle");
    entry.pending = undefined;
    entry.idleSince = nowMs;
    entry.isSurplus = isSurplus;
    const { idleTimeoutMs } = options;
    const keptMs = isSurplus ? Math.min(SURPLUS_IDLE_TIMEOUT_MS, idleTimeoutMs) : idleTimeoutMs;
    entry.idleUntil = Math.min(nowMs + keptMs, entry.replaceAt);
    reclaimer.expireAt(entry, entry.idleUntil);
    this.#idle.push(entry);
    // Callers still wait, but none can use this connection. Run the wake loop again: during an outage it refuses them
    // now instead of at their timeout.
    permits.wake();
  }

  /** Keeps the connection if its status byte is `I`, or if a ROLLBACK makes it so. Never rejects. */
  #release(entry: PoolEntry): Promise<void> {
    // Not async: each async function adds microtasks before the next waiter continues.
    const { connection, state } = entry;
    const { clock } = this.#parts;
    const nowMs = clock.now();
    this.#noteReturn(entry, nowMs);
    if (connection === undefined || state !== "leased") {
      this.#closeSocketIfReclaimed(entry);
      return Promise.resolve();
    }
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.#resetOnReturn(connection)
        .then(() => this.#returnToPool(entry, connection, clock.now()));
    }
    this.#returnToPool(entry, connection, nowMs);
    return Promise.resolve();
  }

  #destroy(entry: PoolEntry, cause: DestroyCause): Promise<void> {
    this.#noteReturn(entry, this.#parts.clock.now());
    if (entry.state === "leased") this.countClosed(entry, cause);
    return this.close(entry);
  }

  async #resetOnReturn(connection: Connection): Promise<void> {
    // A connection that was leased during its login and not used is clean once it is ready.
    if (connection.state === "opening") await connection.ready.catch(() => {});
    if (connection.state === "idle" && connection.status !== "I") {
      const rollback = connection.flight([{ text: "ROLLBACK", values: [] }]);
      await completesWithin(rollback, ROLLBACK_TIMEOUT_MS, this.#parts.clock).catch(() => false);
    }
  }

  #returnToPool(entry: PoolEntry, connection: Connection, nowMs: number): void {
    if (entry.state !== "leased") return this.#closeSocketIfReclaimed(entry);
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.closeFor(entry, "broken");
    }
    entry.idleSince = nowMs;
    this.#parts.connector.breaker.noteAnswer(nowMs);
    if (!this.#closeIfStale(entry, nowMs)) this.#handOver(entry, nowMs);
  }

  #noteReturn(entry: PoolEntry, nowMs: number): void {
    // Its holder may ask for another lease from now on, also while the connection is being reset.
    entry.endHold();
    this.endLease({ since: entry.leasedSince, watch: entry.watch }, nowMs);
  }

  /** Counts the waiter's lease, and watches it for a leak. */
  beginLease(
    { request: { label }, since }: Waiter,
    nowMs: number,
  ): QueueNode<WatchedLease> | undefined {
    const { metrics, random } = this.#parts;
    metrics.counters.acquired++;
    metrics.waitTimes.record(nowMs - since);
    return this.#leaks?.add({ label, since: nowMs, sample: random() });
  }

  /** Counts the end of the lease, and watches it no longer. */
  endLease(
    { since, watch }: { since: number; watch: QueueNode<WatchedLease> | undefined },
    nowMs: number,
  ): void {
    const { metrics, permits } = this.#parts;
    metrics.useTimes.record(nowMs - since);
    permits.noteReturn(nowMs);
    if (watch !== undefined) this.#leaks?.remove(watch);
  }

  /** No caller shares the connection any more. */
  takeBack(entry: PoolEntry): void {
    this.#returnToPool(entry, entry.connection!, this.#parts.clock.now());
  }

  /** For a lease whose owner has ended, and its timer for leaks with it. */
  reportLeak({ watch }: PoolEntry): void {
    if (watch !== undefined) this.#leaks?.reportAbandoned(watch);
  }

  #closeIfStale(entry: PoolEntry, nowMs: number): boolean {
    const cause = entry.staleCause(nowMs, this.#parts.connector);
    if (cause !== undefined) this.closeFor(entry, cause);
    return cause !== undefined;
  }

  /** Closes the idle connections. Resolves when their permits are free. */
  async closeIdle(cause: keyof PoolCounters): Promise<void> {
    await Promise.all(
      this.#idle.takeAll().map((entry) => {
        this.countClosed(entry, cause);
        return this.close(entry);
      }),
    );
  }

  /** See `Pool.endScope`. */
  async end(): Promise<void> {
    const { permits } = this.#parts;
    this.hasEnded = true;
    void this.closeIdle("overflowClosed");
    const own = [...permits.entries].filter(({ owner }) => owner === this);
    if (permits.queue.sizeOf(this.scope) === 0) {
      for (const entry of own) if (entry.state === "opening") this.giveUpConnect(entry);
    }
    await Promise.all(own.map((entry) => entry.whenGone()));
  }

  /** Gives up a connect: one that hangs, for another one with its permit, or one for which no caller waits any more. */
  giveUpConnect(entry: PoolEntry): void {
    const { permits, reclaimer } = this.#parts;
    // The owner has not started it yet.
    if (entry.connecting === undefined) return permits.release(entry);
    const { expiresAt } = entry;
    reclaimer.askOwner(entry, "close", () => {
      // The owner lives. The permit is free once the connect has ended.
      reclaimer.expireAt(entry, expiresAt);
      entry.connecting?.abort();
    });
  }

  closeFor(entry: PoolEntry, cause: keyof PoolCounters): void {
    this.countClosed(entry, cause);
    void this.close(entry);
  }

  countClosed(entry: PoolEntry, cause: keyof PoolCounters): void {
    if (entry.closedFor !== undefined) return;
    entry.closedFor = cause;
    this.#parts.metrics.counters[cause]++;
  }

  /**
   * Has the owner close the connection. Resolves when the permit is free, which is when the socket is shut: until then
   * the server still counts the connection.
   */
  close(entry: PoolEntry): Promise<void> {
    const { permits, reclaimer } = this.#parts;
    const { state, connection } = entry;
    if (state === "closing" || state === "gone") {
      this.#closeSocketIfReclaimed(entry);
      return entry.whenGone();
    }
    if (state === "idle") this.#idle.remove(entry);
    this.reads.end(entry);
    entry.become("closing");
    const gone = entry.whenGone();
    if (connection === undefined) permits.release(entry);
    else {
      reclaimer.askOwner(entry, "close", () => this.closeSocket(entry), {
        timeoutMs: CLOSE_TIMEOUT_MS + OWNER_TIMEOUT_MS,
      });
    }
    return gone;
  }

  /** The owner did not act in time, and the reclaimer takes the permit back. */
  noteReclaimed(entry: PoolEntry): void {
    if (entry.state === "idle") this.#idle.remove(entry);
    this.countClosed(entry, "expired");
  }

  /** The permit was reclaimed, but the owner was only busy: it closes its connection itself. */
  #closeSocketIfReclaimed(entry: PoolEntry): void {
    if (entry.state === "gone") this.closeSocket(entry);
  }

  /** Closes the socket, or gives up the connect. To be called on behalf of the owner. Does nothing the second time. */
  closeSocket(entry: PoolEntry): void {
    const { connection } = entry;
    if (connection === undefined) return entry.connecting?.abort();
    if (entry.isClosingSocket) return;
    entry.isClosingSocket = true;
    connection.close({ timeoutMs: CLOSE_TIMEOUT_MS })
      .then(() => this.#parts.permits.release(entry));
  }

  /** Cancels the timer of the idle list. */
  dispose(): void {
    this.#idle.takeAll();
  }
}
