/**
 * Which connection of an owner a shared read goes to. A read takes an idle connection if there is one, and others may come
 * behind it. If there is none, a read goes behind others, to the connection with the fewest of them, before one is opened or
 * the caller waits.
 *
 * - Reads go behind one another although connections are idle if they are answered sooner so (`gathering.ts`): several in
 *   one message cost both sides less.
 * - Only on connections that are direct. Behind a pooler in transaction mode, the end of a connection with several flights
 *   under way may give the answers that are still to come to the pooler's next client (PgBouncer 1.18).
 * - For each caller that waits for a connection of its own, the connection with the fewest reads takes no more of them, so
 *   that it comes free. A read passes such a caller only along with a read whose turn it is, on a connection that has just
 *   come free for that: a few quick reads keep it hardly longer than one.
 * - A read that holds up the reads behind it keeps the connection, and they are sent again to another one: nothing is lost,
 *   as they are read only.
 * - A flight whose caller has left runs to its end, unless such flights keep the connection for longer than another one takes
 *   to open: it is cancelled then, and the connection closed. The reads behind it are sent again to another one.
 */
import type { Waiter } from "./acquire_queue.ts";
import { type DestroyCause, Lease } from "./lease.ts";
import type { OwnerPool, PoolParts } from "./owner_pool.ts";
import type { PoolEntry } from "./pool_entry.ts";
import { TIMED_OUT } from "./pool_refusals.ts";
import { ReadTimes } from "./read_times.ts";
import { Share } from "./share.ts";
import { SharedConnection, type SharedConnectionOptions } from "./shared_connection.ts";

/**
 * A connection may run reads that no caller waits for as long as the newest connection took to open, and no longer than this:
 * to end one costs the connection. On a busy machine quick reads look slow, and so do logins.
 */
const WASTE_MAX_MS = 250;

/** Of so many late checks in a row one counts: an event loop that is always late reads answers nevertheless. */
const LATE_CHECKS_MAX = 10;

/** How long a cancel request and the answer to the read may take before the connection is closed. */
const CANCEL_TIMEOUT_MS = 500;

export class SharedReads {
  readonly #owner: OwnerPool;
  readonly #parts: PoolParts;
  readonly #times: ReadTimes;
  /** The connections that reads are on. */
  readonly #connections: SharedConnection[] = [];
  readonly #options: SharedConnectionOptions;
  /** Set while a check is due. */
  #stopCheck: (() => void) | undefined;
  #lateChecks = 0;
  /** Whether the newest connection that was used turned out to be one that reads cannot share. */
  #isIndirect = false;

  constructor(owner: OwnerPool, parts: PoolParts) {
    this.#owner = owner;
    this.#parts = parts;
    const times = this.#times = new ReadTimes(parts.options.readDepth ?? "auto");
    this.#options = {
      clock: parts.clock,
      times,
      onHeldUp: () => this.#watch(),
      onDrained: (shared) => void this.#settle(shared),
      onReturn: (shared, share, cause) => this.#return(shared, share, cause),
    };
  }

  /**
   * How many reads a connection serves at a time once the pool needs all of its connections. Not `preferred`: that sees the
   * way, as far as it varies, and would hold a server that is a few milliseconds away to a quarter of what it answers.
   */
  get fullDepth(): number {
    return this.#isIndirect ? 1 : this.#times.longest;
  }

  /** How many reads may be behind one another now. */
  get depth(): number {
    const { permits } = this.#parts;
    const most = this.fullDepth;
    if (permits.entries.size < permits.limit) return Math.min(most, this.#times.preferred);
    return this.#isIndirect ? most : this.#times.longestBeside(this.#openShare);
  }

  /** Of the connections that reads are on, the share that no slow read holds up. */
  get #openShare(): number {
    const nowMs = this.#parts.clock.now();
    const hasFree = this.#hasFree;
    let open = 0;
    for (const shared of this.#connections) if (shared.serves(nowMs, hasFree)) open++;
    return open / this.#connections.length;
  }

  /** Leases the entry's connection to a reader. Others may come behind it. */
  begin(entry: PoolEntry, waiter: Waiter, nowMs: number): Lease {
    const shared = entry.shared ??= new SharedConnection(entry, this.#options);
    shared.isOpen = true;
    this.#connections.push(shared);
    const { connection } = shared;
    if (connection.status === undefined) connection.ready.then(() => this.#fill(shared), () => {});
    const idleMs = entry.isNew ? undefined : nowMs - entry.idleSince;
    return this.#seat(shared, { waiter, idleMs }, nowMs);
  }

  /**
   * A lease behind other reads, although another connection is free: what goes out together, and is answered together, costs
   * both sides less.
   */
  gather(waiter: Waiter, nowMs: number): Lease | undefined {
    if (waiter.request.again || this.#parts.permits.queue.size > 0) return undefined;
    const depth = this.#times.gathered;
    if (depth <= 1) return undefined;
    const shared = this.#connections.find((each) => this.#admits(each, depth, nowMs));
    return shared && this.#seat(shared, { waiter, idleMs: 0 }, nowMs);
  }

  /** A lease behind other reads; `undefined` if there is no place. */
  join(waiter: Waiter, nowMs: number): Lease | undefined {
    const { fresh, again } = waiter.request;
    if (fresh || this.#connections.length === 0) return undefined;
    const shared = again ? this.#shortest(Infinity, nowMs) : this.#next(nowMs);
    return shared && this.#seat(shared, { waiter, idleMs: 0 }, nowMs);
  }

  /**
   * Seats waiting readers behind the reader to whom the entry's connection was given. Without those that pass callers that
   * wait, each such caller would keep a connection from being shared, and an overload would never end.
   */
  fill(entry: PoolEntry): void {
    const { shared } = entry;
    if (shared !== undefined && this.#isInUse(shared)) this.#fill(shared, { begins: true });
  }

  /** The entry's connection is no longer shared: it is idle, is being closed, or is gone. */
  end(entry: PoolEntry): void {
    const { shared } = entry;
    if (shared === undefined || !this.#isInUse(shared)) return;
    this.#connections.splice(this.#connections.indexOf(shared), 1);
    shared.stopTimer?.();
    if (this.#connections.length > 0) return;
    this.#stopCheck?.();
    this.#stopCheck = undefined;
    this.#lateChecks = 0;
  }

  get #hasFree(): boolean {
    return this.#owner.counts.idle > 0;
  }

  #isInUse(shared: SharedConnection): boolean {
    return this.#connections.includes(shared);
  }

  #next(nowMs: number): SharedConnection | undefined {
    const { permits } = this.#parts;
    const { scope } = this.#owner;
    if (permits.queue.readersOf(scope) > 0) return undefined;
    return this.#shortest(this.depth, nowMs);
  }

  /** Of the connections that need not come free. */
  #shortest(depth: number, nowMs: number): SharedConnection | undefined {
    const reserved = this.#reserved;
    let best: SharedConnection | undefined;
    for (const shared of reserved > 0 ? this.#bySize(nowMs).slice(reserved) : this.#connections) {
      if (best !== undefined && shared.size >= best.size) continue;
      if (this.#admits(shared, depth, nowMs)) best = shared;
    }
    return best;
  }

  #admits(shared: SharedConnection, depth: number, nowMs: number): boolean {
    const { generation } = this.#parts.connector;
    const { entry } = shared;
    return shared.admits(depth, nowMs, this.#hasFree) && entry.generation === generation &&
      nowMs < entry.replaceAt && !this.#owner.hasEnded;
  }

  /** How many of the connections that come free soonest are to come free. */
  get #reserved(): number {
    return this.#parts.permits.wholeShortageOf(this.#owner);
  }

  #isReserved(shared: SharedConnection, nowMs: number): boolean {
    const reserved = this.#reserved;
    return reserved > 0 && this.#bySize(nowMs).indexOf(shared) < reserved;
  }

  /** First those that come free soonest: with the fewest reads, and before all those that a slow read holds up. */
  #bySize(nowMs: number): SharedConnection[] {
    const hasFree = this.#hasFree;
    const isHeldUp = (shared: SharedConnection) => Number(!shared.serves(nowMs, hasFree));
    return [...this.#connections].sort((one, other) =>
      isHeldUp(one) - isHeldUp(other) || one.size - other.size
    );
  }

  #fill(shared: SharedConnection, { begins = false } = {}): void {
    const { permits, clock } = this.#parts;
    const { entry } = shared;
    const { queue } = permits;
    if (queue.readersOf(this.#owner.scope) === 0) return;
    const nowMs = clock.now();
    const isFree = () =>
      begins && shared.size < this.#times.together || !this.#isReserved(shared, nowMs);
    const { depth } = this;
    while (this.#admits(shared, depth, nowMs) && isFree()) {
      const waiter = queue.readerOf(this.#owner.scope, entry);
      if (waiter === undefined) return;
      permits.grant(waiter, this.#seat(shared, { waiter, idleMs: 0 }, nowMs));
    }
  }

  #seat(
    shared: SharedConnection,
    { waiter, idleMs }: { waiter: Waiter; idleMs: number | undefined },
    nowMs: number,
  ): Lease {
    if (shared.shares.length > 0) this.#parts.metrics.counters.shared++;
    const { again } = waiter.request;
    const hasOthers = this.#connections.length + shared.shares.length > 1;
    const share = new Share(shared, {
      since: nowMs,
      askedAt: waiter.since,
      hadChoice: hasOthers && waiter.since === nowMs && idleMs !== undefined && !again,
      watch: this.#owner.beginLease(waiter, nowMs),
    });
    shared.add(share);
    return share.lease = new Lease(share, {
      idleMs,
      number: shared.entry.leases,
      share,
      onReturn: share,
    });
  }

  #return(
    shared: SharedConnection,
    share: Share,
    cause: DestroyCause | undefined,
  ): Promise<void> {
    this.#owner.endLease(share, this.#parts.clock.now());
    if (!share.hasLeft) shared.closesFor ??= cause;
    return this.#settle(shared);
  }

  /** A caller has gone: the connection has a place, or no caller is on it any more. */
  #settle(shared: SharedConnection): Promise<void> {
    const { entry, closesFor } = shared;
    if (entry.state !== "leased" || !this.#isInUse(shared)) return Promise.resolve();
    this.#learn(shared.connection.isDirect === true);
    if (shared.shares.length > 0) this.#fill(shared);
    else if (closesFor !== undefined) {
      this.#owner.countClosed(entry, closesFor);
      return this.#owner.close(entry);
    } else if (shared.size === 0) {
      this.end(entry);
      this.#owner.takeBack(entry);
    }
    return Promise.resolve();
  }

  #learn(isDirect: boolean): void {
    if (this.#isIndirect !== isDirect) return;
    this.#isIndirect = !isDirect;
    // Readers that wait for a place need connections of their own.
    this.#parts.permits.wake();
  }

  #watch(): void {
    if (this.#stopCheck !== undefined) return;
    const { clock } = this.#parts;
    const { checkMs } = this.#times;
    const dueAt = clock.now() + checkMs;
    this.#stopCheck = clock.after(checkMs, () => {
      this.#stopCheck = undefined;
      // An event loop that was busy may not have read answers that have arrived.
      this.#check({ isLate: clock.now() - dueAt > checkMs });
    });
  }

  #check({ isLate }: { isLate: boolean }): void {
    const { clock, connector } = this.#parts;
    const nowMs = clock.now();
    const watched = this.#connections.filter(({ isWatched }) => isWatched);
    this.#lateChecks = isLate && watched.length > 0 ? this.#lateChecks + 1 : 0;
    if (watched.length === 0) return;
    this.#watch();
    if (this.#lateChecks % LATE_CHECKS_MAX > 0) return;
    const hasFree = this.#hasFree;
    const hasOther = this.#hasOther(nowMs, hasFree);
    for (const shared of watched) {
      const isHeldUp = shared.isHeldUp(nowMs, hasFree);
      const wastedMs = shared.wastedMs(nowMs);
      const isWasted = wastedMs > WASTE_MAX_MS || isHeldUp && wastedMs > connector.connectMs;
      // A check later than the moves, whose callers are still to return their leases.
      if (isWasted && shared.shares.length === 0) this.#cancel(shared);
      else if (isWasted || isHeldUp && hasOther) this.#move(shared);
      // Behind one without a caller they will be moved soon.
      else if (!shared.head?.hasLeft) this.#refuseOld(shared, nowMs);
    }
  }

  /** Whether a read that is moved can go on. If every connection is slow, so is the server, or the way to it. */
  #hasOther(nowMs: number, hasFree: boolean): boolean {
    const { permits } = this.#parts;
    // A pool that is closing refuses those that are moved.
    if (permits.isClosed) return false;
    return hasFree || permits.entries.size < permits.limit ||
      this.#connections.some((shared) => shared.serves(nowMs, hasFree));
  }

  /** Sends the reads behind a slow one to other connections. */
  #move(shared: SharedConnection): void {
    shared.isOpen = false;
    for (const share of shared.behind()) {
      if (share.hasLeft) continue;
      this.#parts.metrics.counters.moved++;
      share.move();
    }
  }

  /** To be behind others is to wait for a connection, and that wait has its limit. */
  #refuseOld(shared: SharedConnection, nowMs: number): void {
    const { permits, options: { acquireTimeoutMs } } = this.#parts;
    for (const share of shared.behind()) {
      const waitedMs = nowMs - share.askedAt;
      if (!share.hasLeft && waitedMs >= acquireTimeoutMs) {
        share.leave(permits.toError(TIMED_OUT, waitedMs));
      }
    }
  }

  /** Ends a slow read that no caller waits for, and the connection with it, since the request may come late. */
  #cancel(shared: SharedConnection): void {
    if (shared.stopTimer !== undefined) return;
    shared.closesFor ??= "destroyed";
    // A pooler forgets the request of a client that closes at once.
    shared.stopTimer = this.#parts.clock.after(CANCEL_TIMEOUT_MS, () => {
      this.#owner.closeFor(shared.entry, "destroyed");
    });
    void shared.connection.cancel({ timeoutMs: CANCEL_TIMEOUT_MS });
  }
}
