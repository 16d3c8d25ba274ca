/** A leased connection on which several callers read at once, one behind the other. */
import type { Connection } from "../driver/driver.ts";
import type { Clock } from "../time/clock.ts";
import type { DestroyCause, LostPlace } from "./lease.ts";
import type { PoolEntry } from "./pool_entry.ts";
import type { ReadTimes } from "./read_times.ts";
import type { Share } from "./share.ts";

export interface SharedConnectionOptions {
  readonly clock: Clock;
  readonly times: ReadTimes;
  /** A read is behind another one, which may take long. */
  readonly onHeldUp: () => void;
  /** The flight of a caller that has left has ended. */
  readonly onDrained: () => void;
}

export class SharedConnection {
  readonly entry: PoolEntry;
  readonly connection: Connection;
  /** Whether further callers may come, until the connection is idle again. */
  isOpen = true;
  /** Set if the connection must not be used again, once the callers on it have their answers. */
  closesFor: DestroyCause | undefined;
  /** Once a cancel request was sent: stops the timer that closes the connection. */
  stopTimer: (() => void) | undefined;
  readonly #options: SharedConnectionOptions;
  /**
   * The callers that have not returned their leases and have not left. Not a `Set`: each of its former tables leads to the
   * next one, so that one that V8 has moved to the old generation would keep what came after it.
   */
  readonly #shares: Share[] = [];
  /** The flights under way, in their order, also of callers that have left. */
  readonly #line: Share[] = [];
  /** When it became the turn of the first one in the line; `Infinity` during the login. */
  #turnAt = Infinity;
  #isLost = false;

  constructor(entry: PoolEntry, options: SharedConnectionOptions) {
    this.entry = entry;
    this.connection = entry.connection!;
    this.#options = options;
  }

  /** The callers, in the order in which they came. */
  get shares(): readonly Share[] {
    return this.#shares;
  }

  /** The one whose flight the server runs. */
  get head(): Share | undefined {
    return this.#line[0];
  }

  /** How many reads are behind one another, also of callers that have left. 0 if no read is on the connection. */
  get size(): number {
    return Math.max(this.#shares.length, this.#line.length);
  }

  /** Whether no other caller uses the connection. */
  isAlone(share: Share): boolean {
    return this.#shares.length === 1 && this.#shares[0] === share;
  }

  /** Whether a caller waits behind a flight that may take long, or no caller waits for the one that runs. */
  get isWatched(): boolean {
    return this.#line.length > 1 || this.head?.hasLeft === true;
  }

  /** Whether one more caller may come, at a line of at most `depth`. */
  admits(depth: number, nowMs: number): boolean {
    return this.isOpen && this.closesFor === undefined && this.size < depth &&
      this.connection.isDirect === true && this.connection.state !== "closed" &&
      !this.isHeldUp(nowMs);
  }

  /** Whether the flight that runs holds up the flights behind it. */
  isHeldUp(nowMs: number): boolean {
    const { head } = this;
    return head !== undefined &&
      this.#options.times.isSlow({ sentAt: head.since, turnAt: this.#turnAt }, nowMs);
  }

  add(share: Share): void {
    this.#shares.push(share);
  }

  /** The caller has returned its lease. */
  remove(share: Share): void {
    removeFrom(this.#shares, share);
  }

  /** The share's flight is being sent. */
  enter(share: Share): void {
    if (this.#line.push(share) > 1) return this.#options.onHeldUp();
    share.takeTurn();
    const { connection } = this;
    if (connection.state !== "opening") this.#turnAt = share.since;
    else connection.ready.then(() => this.#turnAt = this.#options.clock.now(), () => {});
  }

  noteAnswer(share: Share): void {
    const nowMs = this.#options.clock.now();
    const sentAt = share.since;
    if (this.head === share) this.#options.times.note({ sentAt, turnAt: this.#turnAt }, nowMs);
    this.#leaveLine(share, nowMs);
  }

  /** The connection has ended, or the flight could not be sent. */
  noteLoss(share: Share): LostPlace | undefined {
    const wasRunning = this.head === share && !this.#isLost;
    if (this.connection.state === "closed") this.#isLost = true;
    this.#leaveLine(share, this.#options.clock.now());
    if (!this.#isLost) return undefined;
    return wasRunning ? "running" : "behind";
  }

  /** The caller has left. Its answer is still to come. */
  noteLeft(share: Share): void {
    removeFrom(this.#shares, share);
    this.#options.onHeldUp();
  }

  /** The callers whose flights wait for the one that runs. */
  behind(): Share[] {
    return this.#line.slice(1);
  }

  #leaveLine(share: Share, nowMs: number): void {
    const wasHead = this.head === share;
    removeFrom(this.#line, share);
    if (wasHead) {
      this.#turnAt = nowMs;
      this.head?.takeTurn();
    }
    if (share.hasLeft) this.#options.onDrained();
  }
}

function removeFrom(shares: Share[], share: Share): void {
  const index = shares.indexOf(share);
  if (index !== -1) shares.splice(index, 1);
}
