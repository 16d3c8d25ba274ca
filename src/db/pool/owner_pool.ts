/**
 * The connections of one owner scope: opens them, leases them, takes them back and closes them. Each holds a permit of
 * the pool's bound (`permits.ts`) from the moment it begins to open until its socket is shut. A socket is opened, used
 * and closed on behalf of its owner alone (`OwnerScope.run`), also where another owner's request frees the permit.
 */
import type { Connection } from "../driver/driver.ts";
import type { Clock } from "../time/clock.ts";
import { completesWithin } from "../time/timeout.ts";
import type { Waiter } from "./acquire_queue.ts";
import type { Connector } from "./connector.ts";
import { IdleList } from "./idle_list.ts";
import { LeakWatch } from "./leak_watch.ts";
import { Lease } from "./lease.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { Permits } from "./permits.ts";
import { type EntryState, PoolEntry } from "./pool_entry.ts";
import type { PoolOptions } from "./pool_options.ts";
import { poolClosedError } from "./pool_refusals.ts";
import type { PoolCounters, PoolMetrics } from "./pool_stats.ts";
import { OWNER_TIMEOUT_MS, type Reclaimer } from "./reclaimer.ts";

/** How long a ROLLBACK on return, and then a goodbye, may take before the socket is cut. */
const ROLLBACK_TIMEOUT_MS = 2_000;
export const GOODBYE_TIMEOUT_MS = 1_000;

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
  readonly counts: Record<EntryState, number> = {
    opening: 0,
    leased: 0,
    idle: 0,
    closing: 0,
    gone: 0,
  };
  /** Whether the owner has ended: then no connection is kept. */
  hasEnded = false;
  readonly #parts: PoolParts;
  readonly #idle: IdleList<PoolEntry>;
  readonly #leaks: LeakWatch | undefined;

  constructor(scope: OwnerScope, parts: PoolParts) {
    const { clock, metrics, options: { leaks } } = parts;
    this.scope = scope;
    this.#parts = parts;
    this.#idle = new IdleList({
      clock,
      sweeps: scope.lasting,
      onDue: (entry) => void this.#closeOld(entry, clock.now()),
    });
    const onLeak = (leak: Parameters<NonNullable<typeof leaks>["onLeak"]>[0]) => {
      metrics.counters.leaked++;
      leaks?.onLeak(leak);
    };
    this.#leaks = leaks && new LeakWatch({ ...leaks, onLeak }, clock);
  }

  get isUnused(): boolean {
    const { opening, leased, idle, closing } = this.counts;
    return opening + leased + idle + closing === 0;
  }

  /** The most recently used idle connection that is neither too old nor idle for too long. */
  takeIdle(nowMs: number): PoolEntry | undefined {
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      if (entry.connection?.state === "closed") this.closeFor(entry, "broken");
      else if (!this.#closeOld(entry, nowMs)) return entry;
    }
    return undefined;
  }

  lease(entry: PoolEntry, { request, since }: Waiter, nowMs: number): Lease {
    const { connection, isNew } = entry;
    if (connection === undefined) throw new Error("bug: leased an entry that has no connection");
    const { metrics, options, random, reclaimer } = this.#parts;
    entry.become("leased");
    entry.pending = undefined;
    entry.leasedSince = nowMs;
    entry.label = request.label;
    metrics.counters.acquired++;
    metrics.waitTimes.record(nowMs - since);
    const loginMs = connection.status === undefined ? options.connectTimeoutMs : 0;
    reclaimer.expireAt(entry, nowMs + loginMs + request.holdMs);
    entry.watch = this.#leaks?.add({ label: request.label, since: nowMs, sample: random() });
    return entry.lease = new Lease(connection, {
      idleMs: isNew ? undefined : nowMs - entry.idleSince,
      onReturn: {
        release: () => this.#release(entry),
        destroy: () => this.#destroy(entry),
      },
    });
  }

  /** Opens a connection for the owner's waiters. */
  open(nowMs: number): void {
    const { options, random, connector, permits, reclaimer } = this.#parts;
    const entry = new PoolEntry(this, {
      id: permits.nextId(),
      bornAt: nowMs,
      generation: connector.generation,
      replaceAt: nowMs + options.recycleMs * (1 - random() / 10),
    });
    permits.add(entry, nowMs);
    reclaimer.ask(entry, "connect", () => void this.#connect(entry));
  }

  async #connect(entry: PoolEntry): Promise<void> {
    const { options, clock, connector, permits, reclaimer } = this.#parts;
    if (permits.waitersOf(this.scope) === 0) return permits.release(entry);
    entry.pending = undefined;
    entry.generation = connector.generation;
    const { signal } = entry.connecting = new AbortController();
    reclaimer.expireAt(entry, clock.now() + options.connectTimeoutMs + GOODBYE_TIMEOUT_MS);
    const isWanted = () => entry.state !== "closing" && !permits.isClosed;
    try {
      const connection = await connector.open({ signal, isWanted });
      entry.connection = connection;
      if (entry.state !== "opening") return this.shut(entry);
      connection.closed.then(() => this.#noteSocketClosed(entry));
      this.#handOver(entry, clock.now());
    } catch (error) {
      if (entry.state !== "opening") return;
      permits.refuseHeadOf(this.scope, error as Error);
      permits.release(entry);
    }
  }

  /** A permit is for a connection: without one it is free, whether or not the lease has come back. */
  #noteSocketClosed(entry: PoolEntry): void {
    if (entry.state === "idle") this.#idle.remove(entry);
    if (entry.state === "idle" || entry.state === "leased") this.countClosed(entry, "broken");
    this.#parts.permits.release(entry);
  }

  /** Gives a usable connection to the owner's longest waiter, or keeps it, or closes it. */
  #handOver(entry: PoolEntry, nowMs: number): void {
    const { options, permits, reclaimer } = this.#parts;
    if (permits.isClosed) return this.closeFor(entry, "closedWithPool");
    if (!entry.isNew && permits.areMissingForFresh(this)) {
      return this.closeFor(entry, "overflowClosed");
    }
    const waiter = permits.nextWaiterOf(this.scope, { isNew: entry.isNew }, nowMs);
    if (waiter !== undefined) return permits.grant(waiter, this.lease(entry, waiter, nowMs));
    if (this.#idle.size >= options.size || this.hasEnded || permits.areMissing) {
      return this.closeFor(entry, "overflowClosed");
    }
    entry.become("idle");
    entry.pending = undefined;
    entry.idleSince = nowMs;
    entry.idleUntil = Math.min(nowMs + options.idleTimeoutMs, entry.replaceAt);
    reclaimer.expireAt(entry, entry.idleUntil);
    this.#idle.push(entry);
    permits.wakeIfQueued();
  }

  /** Keeps the connection if its status byte says that it is clean, or can be made so. Never rejects. */
  #release(entry: PoolEntry): Promise<void> {
    // Not async: each async layer takes turns of the microtask queue before the next waiter goes on.
    const { connection, state } = entry;
    const { clock } = this.#parts;
    const nowMs = clock.now();
    this.#recordUse(entry, nowMs);
    if (connection === undefined || state !== "leased") {
      this.#shutIfReclaimed(entry);
      return Promise.resolve();
    }
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.#resetOnReturn(connection)
        .then(() => this.#returnToPool(entry, connection, clock.now()));
    }
    this.#returnToPool(entry, connection, nowMs);
    return Promise.resolve();
  }

  #destroy(entry: PoolEntry): Promise<void> {
    this.#recordUse(entry, this.#parts.clock.now());
    if (entry.state === "leased") this.countClosed(entry, "destroyed");
    return this.close(entry);
  }

  async #resetOnReturn(connection: Connection): Promise<void> {
    // A connection that was leased and not used is clean as soon as it is ready.
    if (connection.state === "opening") await connection.ready.catch(() => {});
    if (connection.state === "idle" && connection.status !== "I") {
      const rollback = connection.flight([{ text: "ROLLBACK", values: [] }]);
      await completesWithin(rollback, ROLLBACK_TIMEOUT_MS, this.#parts.clock).catch(() => false);
    }
  }

  #returnToPool(entry: PoolEntry, connection: Connection, nowMs: number): void {
    if (entry.state !== "leased") return this.#shutIfReclaimed(entry);
    if (connection.state !== "idle" || connection.status !== "I") {
      return this.closeFor(entry, "broken");
    }
    entry.idleSince = nowMs;
    this.#parts.connector.breaker.noteAnswer(nowMs);
    if (!this.#closeOld(entry, nowMs)) this.#handOver(entry, nowMs);
  }

  #recordUse({ leasedSince, watch }: PoolEntry, nowMs: number): void {
    this.#parts.metrics.useTimes.record(nowMs - leasedSince);
    if (watch !== undefined) this.#leaks?.remove(watch);
  }

  /** For a lease whose owner has ended: the owner's timer will not report it. */
  reportLeak({ watch }: PoolEntry): void {
    if (watch !== undefined) this.#leaks?.report(watch);
  }

  #closeOld(entry: PoolEntry, nowMs: number): boolean {
    const { connector, options } = this.#parts;
    const cause = entry.generation !== connector.generation
      ? "staleGeneration"
      : nowMs >= entry.replaceAt
      ? "recycled"
      : nowMs - entry.idleSince >= options.idleTimeoutMs
      ? "idleClosed"
      : undefined;
    if (cause === undefined) return false;
    this.closeFor(entry, cause);
    return true;
  }

  /** Closes what is idle. Resolves when those sockets are shut. */
  async closeIdle(cause: keyof PoolCounters): Promise<void> {
    await Promise.all(
      this.#idle.takeAll().map((entry) => {
        this.countClosed(entry, cause);
        return this.close(entry);
      }),
    );
  }

  /** Gives up a connect, as the pool closes. */
  giveUpOpening(entry: PoolEntry): void {
    const { permits } = this.#parts;
    // The owner was asked to connect and has not started.
    if (entry.connecting === undefined) return permits.release(entry);
    const reason = poolClosedError(permits.facts(0));
    this.scope.run(() => entry.connecting?.abort(reason));
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

  /** The permit returns when the socket is shut: until then the server still counts the connection. */
  close(entry: PoolEntry): Promise<void> {
    const { permits, reclaimer } = this.#parts;
    const { state, connection } = entry;
    if (state === "closing" || state === "gone") {
      this.#shutIfReclaimed(entry);
      return entry.whenGone();
    }
    if (state === "idle") this.#idle.remove(entry);
    entry.become("closing");
    const gone = entry.whenGone();
    if (connection === undefined) permits.release(entry);
    else {
      reclaimer.ask(entry, "close", () => this.shut(entry), {
        timeoutMs: GOODBYE_TIMEOUT_MS + OWNER_TIMEOUT_MS,
      });
    }
    return gone;
  }

  /** Its owner did not do what the pool asked for in time: the permit is taken back. */
  noteReclaimed(entry: PoolEntry): void {
    if (entry.state === "idle") this.#idle.remove(entry);
    this.countClosed(entry, "expired");
  }

  /** An owner that was only busy finds its permit taken back. Its connection is its own to close. */
  #shutIfReclaimed(entry: PoolEntry): void {
    if (entry.state === "gone") this.shut(entry);
  }

  /** Shuts the socket, or gives up the connect. Runs on behalf of the owner. Harmless if done before. */
  shut(entry: PoolEntry): void {
    const { connection } = entry;
    if (connection === undefined) return entry.connecting?.abort();
    if (entry.isShutting) return;
    entry.isShutting = true;
    connection.close({ timeoutMs: GOODBYE_TIMEOUT_MS })
      .then(() => this.#parts.permits.release(entry));
  }

  /** Sets no timer for its connections any more. */
  retire(): void {
    this.#idle.takeAll();
  }
}
