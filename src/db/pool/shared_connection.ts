/** A connection on which several callers read at once, one behind the other. */
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
  readonly onDrained: (shared: SharedConnection) => void;
  /** A caller has returned its lease; with `cause`, as the connection must not be used again. */
  readonly onReturn: (
    shared: SharedConnection,
    share: Share,
    cause: DestroyCause | undefined,
  ) => Promise<void>;
}

/**
 * Made once for each connection that reads share, and used whenever they do. Its lists are arrays: in a `Set` each former
 * table leads to the next one, so that one in V8's old generation would keep all reads after it until that is collected.
 */
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
  /** The callers that have not returned their leases and have not left. */
  readonly #shares: Share[] = [];
  /** The flights under way, in their order, also of callers that have left. */
  readonly #line: Share[] = [];
  /** When it became the turn of the first one in the line; `Infinity` during the login. */
  #turnAt = Infinity;
  /** Since when the one that runs has had no caller; `undefined` if it has one. */
  #deadSince: number | undefined;
  /** How long such ones ran before it, since the connection was idle. */
  #deadMs = 0;
  /** When the first one was sent whose answer has come in this turn of the event loop. */
  #answeredSince = 0;
  /** How many answers have come in this turn of the event loop, until they are noted. */
  #answers = 0;
  /** How many of their callers had the choice (`Share`) and have not left, and when they asked, in sum. */
  #callers = 0;
  #askedMs = 0;
  /** Whether the first one is among them. */
  #countsHead = false;
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
  admits(depth: number, nowMs: number, hasFree: boolean): boolean {
    return this.serves(nowMs, hasFree) && this.closesFor === undefined && this.size < depth &&
      this.connection.isDirect === true && this.connection.state !== "closed";
  }

  /** Whether its reads are answered one after the other: no slow one holds up those behind it, or has done so. */
  serves(nowMs: number, hasFree: boolean): boolean {
    return this.isOpen && !this.isHeldUp(nowMs, hasFree);
  }

  /** Whether the flight that runs holds up the flights behind it. `hasFree`: another connection is free for them. */
  isHeldUp(nowMs: number, hasFree: boolean): boolean {
    const { head } = this;
    return head !== undefined &&
      this.#options.times.isSlow({ sentAt: head.since, turnAt: this.#turnAt }, nowMs, { hasFree });
  }

  /** How long the server has run flights that no caller waits for; 0 if a caller waits for the one that runs. */
  wastedMs(nowMs: number): number {
    return this.#deadSince === undefined ? 0 : this.#deadMs + nowMs - this.#deadSince;
  }

  add(share: Share): void {
    this.#shares.push(share);
  }

  /** The caller returns its lease. */
  giveBack(share: Share, cause?: DestroyCause): Promise<void> {
    remove(this.#shares, share);
    return this.#options.onReturn(this, share, cause);
  }

  /** The share's flight is being sent. */
  enter(share: Share): void {
    if (this.#line.push(share) > 1) return this.#options.onHeldUp();
    const { connection } = this;
    if (connection.state !== "opening") this.#turnAt = share.since;
    else connection.ready.then(() => this.#giveTurn(this.#options.clock.now()), () => {});
  }

  /**
   * The answer to the share's flight has come. Others may have come in the same message: how long the server took, and whose
   * turn it is, is seen once for all of them.
   */
  noteAnswer(share: Share): void {
    if (this.head === share) {
      const counts = share.hadChoice && !share.hasLeft;
      if (this.#answers === 0) {
        this.#answeredSince = share.since;
        this.#countsHead = counts;
        queueMicrotask(() => this.#noteTime());
      }
      this.#answers++;
      if (counts) {
        this.#callers++;
        this.#askedMs += share.askedAt;
      }
    }
    this.#leaveLine(share);
  }

  #noteTime(): void {
    const nowMs = this.#options.clock.now();
    const read = { sentAt: this.#answeredSince, turnAt: this.#turnAt };
    this.#options.times.note(read, {
      answers: this.#answers,
      callers: this.#callers,
      askedMs: this.#askedMs,
      headMs: this.#countsHead ? nowMs - Math.max(read.sentAt, read.turnAt) : 0,
    }, nowMs);
    this.#answers = this.#callers = this.#askedMs = 0;
    this.#giveTurn(nowMs);
  }

  #giveTurn(nowMs: number): void {
    this.#turnAt = nowMs;
    const { head } = this;
    if (head === undefined) this.#deadMs = 0;
    else if (this.#deadSince !== undefined) this.#deadMs += nowMs - this.#deadSince;
    this.#deadSince = head?.hasLeft ? nowMs : undefined;
    head?.takeTurn();
  }

  /** The connection has ended, or the flight could not be sent. */
  noteLoss(share: Share): LostPlace | undefined {
    const wasRunning = this.head === share && !this.#isLost;
    if (this.connection.state === "closed") this.#isLost = true;
    this.#leaveLine(share);
    if (wasRunning && !this.#isLost) this.#giveTurn(this.#options.clock.now());
    if (!this.#isLost) return undefined;
    return wasRunning ? "running" : "behind";
  }

  /** The caller has left. Its answer is still to come. */
  noteLeft(share: Share): void {
    remove(this.#shares, share);
    const nowMs = this.#options.clock.now();
    const isBehind = this.#line.indexOf(share) > 0;
    if (isBehind && share.hadChoice) this.#options.times.noteLostPlace(share.askedAt, nowMs);
    // A login has a timeout of its own.
    if (this.head === share && this.#turnAt !== Infinity) this.#deadSince = nowMs;
    this.#options.onHeldUp();
  }

  /** The callers whose flights wait for the one that runs. */
  behind(): Share[] {
    return this.#line.slice(1);
  }

  #leaveLine(share: Share): void {
    remove(this.#line, share);
    if (share.hasLeft) this.#options.onDrained(this);
  }
}

/** Mostly it is the first one. */
function remove(shares: Share[], share: Share): void {
  if (shares[0] === share) shares.shift();
  else if (shares.includes(share)) shares.splice(shares.indexOf(share), 1);
}
