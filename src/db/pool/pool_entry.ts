/** A permit, and the connection that it is for. */
import type { Connection } from "../driver/driver.ts";
import type { WatchedLease } from "./leak_watch.ts";
import type { Lease } from "./lease.ts";
import type { LeaseHolder } from "./lease_holder.ts";
import type { OwnerPool } from "./owner_pool.ts";
import type { PoolCounters } from "./pool_stats.ts";
import type { SharedConnection } from "./shared_connection.ts";
import type { QueueNode } from "./waiter_queue.ts";

/**
 * `opening` until the connection can take a flight, `closing` until its socket is shut, `gone` once the permit is free:
 *
 *     opening -> leased <-> idle -> closing -> gone
 */
export type EntryState = "opening" | "leased" | "idle" | "closing" | "gone";

/** No entry in any state, for a count by state. */
export function zeroCounts(): Record<EntryState, number> {
  return { opening: 0, leased: 0, idle: 0, closing: 0, gone: 0 };
}

export interface PoolEntryOptions {
  /** Unique within the pool. */
  readonly id: number;
  readonly bornAt: number;
  /** The server's generation when the connect began. */
  readonly generation: number;
  readonly replaceAt: number;
}

export class PoolEntry {
  readonly owner: OwnerPool;
  readonly id: number;
  readonly bornAt: number;
  readonly replaceAt: number;
  generation: number;
  #state: EntryState = "opening";
  readonly #onGone: (() => void)[] = [];
  #holder: LeaseHolder | undefined;
  /** Gives up the connect in progress; `undefined` before the connect starts. */
  connecting: AbortController | undefined;
  connection: Connection | undefined;
  /** The lease of one holder. */
  lease: Lease | undefined;
  /** The callers that read on the connection together, from the first time that some have. */
  shared: SharedConnection | undefined;
  /** Leases of the connection so far. */
  leases = 0;
  leasedSince = 0;
  /** Label of the newest lease. */
  label: string | undefined;
  watch: QueueNode<WatchedLease> | undefined;
  /** `Infinity` if it was never idle. */
  idleSince = Infinity;
  /** `Infinity` while it is not idle. */
  idleUntil = Infinity;
  /** Whether `size` others were idle when it became idle. */
  isSurplus = false;
  /** Request scopes only: when the pool asks the owner to act. One second later the permit is reclaimed. */
  expiresAt = Infinity;
  /** What the pool has asked the owner to do, until the owner has done it. */
  pending: "connect" | "close" | undefined;
  /** Whether the owner has begun to close the socket. */
  isClosingSocket = false;
  /** Why the connection was closed: the first cause, which is the only one that is counted. */
  closedFor: keyof PoolCounters | undefined;

  constructor(owner: OwnerPool, { id, bornAt, generation, replaceAt }: PoolEntryOptions) {
    this.owner = owner;
    this.id = id;
    this.bornAt = bornAt;
    this.generation = generation;
    this.replaceAt = replaceAt;
    owner.counts.opening++;
  }

  get state(): EntryState {
    return this.#state;
  }

  /** The leases, if it is leased: the newest first. */
  get held(): readonly Lease[] {
    if (this.#state !== "leased") return [];
    if (this.lease !== undefined) return [this.lease];
    return (this.shared?.shares ?? []).map(({ lease }) => lease!).reverse();
  }

  /** Whether no lease of this connection has been returned yet. */
  get isNew(): boolean {
    return this.idleSince === Infinity;
  }

  /** Also while a pipelined login, which is leased, has not been answered. */
  get isLoggingIn(): boolean {
    const { state, connection } = this;
    return state === "opening" || state === "leased" && connection?.status === undefined;
  }

  /** Counts the lease for its holder, until the holder returns it or the connection dies. */
  beginHold(holder: LeaseHolder | undefined): void {
    if (holder === undefined) return;
    this.#holder = holder;
    holder.leased++;
  }

  /** Does nothing the second time. */
  endHold(): void {
    if (this.#holder === undefined) return;
    this.#holder.leased--;
    this.#holder = undefined;
  }

  become(state: EntryState): void {
    const { counts } = this.owner;
    this.endHold();
    counts[this.#state]--;
    counts[state]++;
    this.#state = state;
    if (state === "gone") { for (const resolve of this.#onGone.splice(0)) resolve(); }
  }

  /** Why the connection may not be reused, as the counter that its closing adds to; `undefined` if it may. */
  staleCause(
    nowMs: number,
    { generation }: { readonly generation: number },
  ): "staleGeneration" | "recycled" | "idleClosed" | "overflowClosed" | undefined {
    if (this.generation !== generation) return "staleGeneration";
    if (nowMs >= this.replaceAt) return "recycled";
    if (nowMs < this.idleUntil) return undefined;
    return this.isSurplus ? "overflowClosed" : "idleClosed";
  }

  /**
   * Resolves when the permit is free. Makes a promise for each caller: workerd drops continuations of a promise whose
   * request has ended.
   */
  whenGone(): Promise<void> {
    if (this.#state === "gone") return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onGone.push(resolve);
    return promise;
  }
}
