/**
 * Takes permits back from requests of a Worker that ended without releasing them. Lasting owners (a Deno process, a
 * Durable Object) are exempt: their permits do not expire.
 *
 * The permit of a request expires. When it does, the pool asks the owner to close the connection. If the owner has not
 * done so one second later, the pool takes it for ended and frees the permit: the socket ended with the request.
 */
import type { Clock } from "../time/clock.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { PoolEntry } from "./pool_entry.ts";
import type { PoolCounters } from "./pool_stats.ts";

/** How long an owner may take to do what the pool asked for. An owner that is alive takes one turn of its event loop. */
export const OWNER_TIMEOUT_MS = 1_000;

/** How often the waiters' timers check for expired permits. */
export const RECLAIM_INTERVAL_MS = 500;

export interface ReclaimerOptions {
  readonly clock: Clock;
  /** Gives the permit back to the pool. */
  readonly release: (entry: PoolEntry) => void;
  /** Makes the waiters of all scopes call `reclaim` by this time. */
  readonly reclaimBy: (timeMs: number) => void;
  /** A scope that was taken for ended has run a task after all. */
  readonly onResponse: () => void;
}

export class Reclaimer {
  readonly #options: ReclaimerOptions;
  /** Entries of owners that may end without releasing them. */
  readonly #entries = new Set<PoolEntry>();
  /** Scopes that did not start the connect they got a permit for. Their waiters are skipped until the scope runs again. */
  readonly #unresponsive = new WeakSet<OwnerScope>();

  constructor(options: ReclaimerOptions) {
    this.#options = options;
  }

  /** Whether no permit can expire: every change of capacity then calls `Permits.wake`. */
  get isIdle(): boolean {
    return this.#entries.size === 0;
  }

  /** When the waiters' timers check next for expired permits. */
  get nextReclaimAt(): number {
    return this.isIdle ? Infinity : this.#options.clock.now() + RECLAIM_INTERVAL_MS;
  }

  add(entry: PoolEntry, nowMs: number): void {
    if (entry.owner.scope.lasting) return;
    this.#entries.add(entry);
    // Waiters that came before the first such entry have no timer for this check yet.
    if (this.#entries.size === 1) this.#options.reclaimBy(nowMs + RECLAIM_INTERVAL_MS);
  }

  remove(entry: PoolEntry): void {
    this.#entries.delete(entry);
  }

  expireAt(entry: PoolEntry, timeMs: number): void {
    if (!entry.owner.scope.lasting) entry.expiresAt = timeMs;
  }

  isUnresponsive(scope: OwnerScope): boolean {
    return this.#unresponsive.has(scope);
  }

  /**
   * Asks the owner to run `act` within `timeoutMs`. It runs now if the calling code runs on behalf of the owner. It does
   * not run if the permit was reclaimed, or the connection leased again, before the owner's turn.
   */
  askOwner(
    entry: PoolEntry,
    pending: "connect" | "close",
    act: () => void,
    { timeoutMs = OWNER_TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): void {
    const { scope } = entry.owner;
    entry.pending = pending;
    this.expireAt(entry, this.#options.clock.now() + timeoutMs);
    scope.run(() => {
      if (this.#unresponsive.delete(scope)) this.#options.onResponse();
      if (entry.pending === pending && entry.state !== "gone") act();
    });
  }

  /** Asks the owner to close the connection, or to give up the connect. */
  askOwnerToClose(entry: PoolEntry, cause: keyof PoolCounters): void {
    this.askOwner(entry, "close", () => {
      entry.connecting?.abort();
      if (entry.state !== "opening") entry.owner.closeFor(entry, cause);
    });
  }

  /** Asks the owners of expired permits to close. Takes back the permits of owners that were asked before. */
  reclaim(nowMs: number): void {
    for (const entry of [...this.#entries].filter(({ expiresAt }) => expiresAt <= nowMs)) {
      if (entry.pending !== undefined) this.#takeBack(entry);
      else {
        entry.owner.reportLeak(entry);
        this.askOwnerToClose(entry, entry.state === "idle" ? "idleClosed" : "expired");
      }
    }
  }

  #takeBack(entry: PoolEntry): void {
    const { owner, pending } = entry;
    if (pending === "connect") this.#unresponsive.add(owner.scope);
    owner.noteReclaimed(entry);
    this.#options.release(entry);
    // If the owner was only busy, it closes its connection itself when it runs again.
    owner.scope.run(() => owner.closeSocket(entry));
  }
}
