/**
 * All that the pool does because a request of a Worker may end without releasing what it holds. Owners that live on
 * (a Deno process, a Durable Object) never meet it.
 *
 * A permit of such a request has an expiry. When it passes, the pool asks the owner to close the connection. An owner
 * that has not done so a second later has ended: the pool takes the permit back. The socket ended with the request.
 */
import type { Clock } from "../time/clock.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { PoolEntry } from "./pool_entry.ts";
import type { PoolCounters } from "./pool_stats.ts";

/** How long an owner may take to do what the pool asked; an owner that is alive takes one turn of its event loop. */
export const OWNER_TIMEOUT_MS = 1_000;

/** How often waiters' timers look for expired permits. */
export const RECLAIM_INTERVAL_MS = 500;

export interface ReclaimerOptions {
  readonly clock: Clock;
  /** Gives the permit back to the pool. */
  readonly release: (entry: PoolEntry) => void;
  /** Makes the waiters of all scopes call `reclaim` by this time. */
  readonly reclaimBy: (timeMs: number) => void;
  /** A scope that was taken for ended runs after all. */
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

  /** Whether no permit can expire, so that every change of capacity is told. */
  get isIdle(): boolean {
    return this.#entries.size === 0;
  }

  /** When waiters look next for permits that have expired. */
  get nextReclaimAt(): number {
    return this.isIdle ? Infinity : this.#options.clock.now() + RECLAIM_INTERVAL_MS;
  }

  add(entry: PoolEntry, nowMs: number): void {
    if (entry.owner.scope.lasting) return;
    this.#entries.add(entry);
    // Waiters that came before the first such entry have no timer for it yet.
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

  /** Has the owner act for its entry within `timeoutMs`: at once, if it is the one that runs. */
  ask(
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
      // Reclaimed or leased again since: the owner has nothing to do for it any more.
      if (entry.pending === pending && entry.state !== "gone") act();
    });
  }

  /** Has the owner close the connection, or give up the connect. */
  askToClose(entry: PoolEntry, cause: keyof PoolCounters): void {
    this.ask(entry, "close", () => {
      entry.connecting?.abort();
      if (entry.state !== "opening") entry.owner.closeFor(entry, cause);
    });
  }

  /** Asks the owners of expired permits to close, and takes back the permits of owners that were asked and did nothing. */
  reclaim(nowMs: number): void {
    for (const entry of [...this.#entries].filter(({ expiresAt }) => expiresAt <= nowMs)) {
      if (entry.pending !== undefined) this.#takeBack(entry);
      else {
        entry.owner.reportLeak(entry);
        this.askToClose(entry, entry.state === "idle" ? "idleClosed" : "expired");
      }
    }
  }

  #takeBack(entry: PoolEntry): void {
    const { owner, pending } = entry;
    if (pending === "connect") this.#unresponsive.add(owner.scope);
    owner.noteReclaimed(entry);
    this.#options.release(entry);
    // An owner that was only busy closes its connection itself, when it runs again.
    owner.scope.run(() => owner.shut(entry));
  }
}
