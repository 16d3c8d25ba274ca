/** What the pool keeps of each permit in use, and of each owner scope that has some. */
import type { Connection } from "../driver/driver.ts";
import type { IdleList } from "./idle_list.ts";
import type { Held, LeakWatch } from "./leak_watch.ts";
import type { Lease, LeaseReturn } from "./lease.ts";
import type { OwnerScope } from "./owner_scope.ts";
import type { Place } from "./waiter_queue.ts";

/** `opening` until the connection is given, `closing` until its socket is shut, `gone` when the permit is free. */
export type SlotState = "opening" | "leased" | "idle" | "closing" | "gone";

/** What one owner scope has of the pool. */
export class ScopeShare {
  readonly scope: OwnerScope;
  readonly idle: IdleList<Slot>;
  readonly leaks: LeakWatch | undefined;
  readonly counts: Record<SlotState, number> = {
    opening: 0,
    leased: 0,
    idle: 0,
    closing: 0,
    gone: 0,
  };

  constructor(
    scope: OwnerScope,
    { idle, leaks }: { idle: IdleList<Slot>; leaks: LeakWatch | undefined },
  ) {
    this.scope = scope;
    this.idle = idle;
    this.leaks = leaks;
  }

  get isUnused(): boolean {
    const { opening, leased, idle, closing } = this.counts;
    return opening + leased + idle + closing === 0;
  }
}

export interface SlotOptions {
  /** Unlike that of any other of the pool. */
  readonly id: number;
  readonly bornAt: number;
  readonly generation: number;
  readonly replaceAt: number;
  readonly onReturn: (slot: Slot) => LeaseReturn;
}

/** A permit, and the connection that it is for. */
export class Slot {
  readonly share: ScopeShare;
  readonly id: number;
  readonly bornAt: number;
  /** Of the server, when it began to open. */
  generation: number;
  readonly onReturn: LeaseReturn;
  readonly #gone = Promise.withResolvers<void>();
  /** Resolves when the permit is free. */
  readonly gone: Promise<void> = this.#gone.promise;
  #state: SlotState = "opening";
  /** To give up a connect that is under way. */
  abort: AbortController | undefined;
  connection: Connection | undefined;
  lease: Lease | undefined;
  leasedSince = 0;
  /** Of whoever has, or had, the lease. */
  label: string | undefined;
  held: Place<Held> | undefined;
  replaceAt: number;
  /** `Infinity` if it never was. */
  idleSince = Infinity;
  idleUntil = Infinity;
  /** When its owner is called in, and a while later the permit taken back without a word of it. */
  expiresAt = Infinity;
  /** Whether its owner has something to do for it. */
  isCalledIn = false;

  constructor(
    share: ScopeShare,
    options: SlotOptions,
  ) {
    this.share = share;
    this.id = options.id;
    this.bornAt = options.bornAt;
    this.generation = options.generation;
    this.replaceAt = options.replaceAt;
    this.onReturn = options.onReturn(this);
    share.counts.opening++;
  }

  get state(): SlotState {
    return this.#state;
  }

  /** Whether nothing was ever leased on it. */
  get isNew(): boolean {
    return this.idleSince === Infinity;
  }

  become(state: SlotState): void {
    const { counts } = this.share;
    counts[this.#state]--;
    counts[state]++;
    this.#state = state;
    if (state === "gone") this.#gone.resolve();
  }
}
