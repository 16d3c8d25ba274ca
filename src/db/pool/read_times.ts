/**
 * How long the server takes for a shared read, by the newest answers. From it follows how many reads may be behind one
 * another on a connection, and which one holds up the reads behind it.
 */
import { AUTO_DEPTH_MAX, type GatheredReads, Gathering } from "./gathering.ts";

/** The value of `PoolOptions.readDepth` by which the pool decides itself. */
export type ReadDepth = number | "auto";

/** While the pool may open more connections, a line is as long as the server answers within this time. */
const LINE_MS = 2;

/** The length of a line until the first answers, and the least of reads that go out together. */
const START_DEPTH = 4;

/** The longest line of a pool in which no slow read holds up others. */
export function longestLine(depth: ReadDepth = "auto"): number {
  return depth === "auto" ? AUTO_DEPTH_MAX : depth;
}

/** How many times as long a line may be beside connections that slow reads hold up. No longer, as the next one may hold it up. */
const LONGEST_TIMES = 2;

/** The longest line of a pool, also beside connections that slow reads hold up. */
export function longestLineEver(depth: ReadDepth = "auto"): number {
  return depth === "auto" ? LONGEST_TIMES * AUTO_DEPTH_MAX : depth;
}

/** A server that answers within this time is near: the way takes no longer than the work for a read. */
const NEAR_MS = 1;

/** A read that runs for longer holds up the reads behind it. */
const SLOW_MS = 25;

/** The same near the server while a connection is free, to which they can go at once. */
const GATHERED_SLOW_MS = 5;

/**
 * But no read is slow that runs for less than so many times the median. On a busy machine all of them take long: to move
 * them would cost it more, and each move leaves a connection idle, which a pool beyond its size closes and opens again.
 */
const USUAL_TIMES = 8;

/** A read that runs for longer is slow in any case. */
const USUAL_MAX_MS = 1_000;

/** So many answers double the median or halve it, if all of them ran for longer, or for less. */
const MEDIAN_ANSWERS = 64;

/** How often it is checked whether a read holds up others. */
const CHECK_MS = 10;

/** Taken for the round trip until the first answer. */
const START_ROUND_TRIP_MS = 100;

/** The round trip is the shortest answer of the current window and the one before: the way to the server may change. */
const WINDOW_MS = 10_000;

/** Share of the newest answer in the mean. */
const NEWEST = 1 / 8;

export interface ReadUnderWay {
  readonly sentAt: number;
  /** When the one in front was answered; `Infinity` during the login. */
  readonly turnAt: number;
}

/** The answers that came together. */
export interface AnsweredTogether extends GatheredReads {
  readonly answers: number;
}

export class ReadTimes {
  readonly #depth: ReadDepth;
  /** Mean time of the server for one read. That of the way is in it, as far as it varies. */
  #readMs = LINE_MS / START_DEPTH;
  /** The same for reads behind others, whose answers follow one another: without the way. */
  #behindMs = LINE_MS / START_DEPTH;
  /** `USUAL_TIMES` the median, within its bounds. */
  #usualMs = SLOW_MS;
  readonly #gathering = new Gathering();
  #windowEndsAt = -Infinity;
  #shortestMs = Infinity;
  #shortestBeforeMs = Infinity;

  constructor(depth: ReadDepth) {
    this.#depth = depth;
  }

  /** Most reads behind one another on a connection, if no other connection can be had. */
  get longest(): number {
    return longestLine(this.#depth);
  }

  /**
   * The same while only this share of the connections takes more reads. What a slow read keeps the others from serving goes to
   * these, so that the pool serves as many reads at a time as before.
   */
  longestBeside(openShare: number): number {
    if (!(openShare > 0)) return this.longest;
    return Math.min(longestLineEver(this.#depth), Math.ceil(this.longest / openShare));
  }

  /** The same, as long as the pool may open more connections. */
  get preferred(): number {
    if (this.#depth !== "auto") return this.#depth;
    return Math.max(1, Math.min(AUTO_DEPTH_MAX, Math.floor(LINE_MS / this.#readMs)));
  }

  /** How many reads may be behind one another although other connections are free. */
  get gathered(): number {
    return this.#depth === "auto" ? this.#gathering.depth : 1;
  }

  /** How many reads that go out together take little longer than one. Some at least: without lines no answer shows a change. */
  get together(): number {
    return Math.min(this.longest, Math.max(START_DEPTH, Math.floor(LINE_MS / this.#behindMs)));
  }

  /** The answer to a read has come, and with it those to reads behind it. */
  note(read: ReadUnderWay, together: AnsweredTogether, nowMs: number): void {
    const { answers, callers } = together;
    if (nowMs >= this.#windowEndsAt) {
      this.#windowEndsAt = nowMs + WINDOW_MS;
      this.#shortestBeforeMs = this.#shortestMs;
      this.#shortestMs = Infinity;
    }
    this.#shortestMs = Math.min(this.#shortestMs, nowMs - read.sentAt);
    const runningMs = Math.max(0, this.#runningMs(read, nowMs));
    this.#readMs += NEWEST * (Math.min(runningMs / answers, SLOW_MS) - this.#readMs);
    this.#learnUsual(runningMs, answers);
    // The first one tells nothing of it, if there was none in front of it.
    const isBehind = read.turnAt > read.sentAt;
    const behind = isBehind ? answers : answers - 1;
    const behindMs = isBehind ? Math.min(nowMs - read.turnAt, SLOW_MS) : 0;
    if (behind > 0) this.#behindMs += NEWEST * (behindMs / behind - this.#behindMs);
    if (callers > 0) this.#gathering.note(together, nowMs);
  }

  /** Whether a read holds up the reads behind it: those that might have had a connection of their own, sooner. */
  isSlow(read: ReadUnderWay, nowMs: number, { hasFree = false } = {}): boolean {
    const leastMs = hasFree && this.#isNear ? GATHERED_SLOW_MS : SLOW_MS;
    return this.#runningMs(read, nowMs) > Math.max(leastMs, this.#usualMs);
  }

  /** How often to look for slow reads. */
  get checkMs(): number {
    return this.#isNear ? GATHERED_SLOW_MS : CHECK_MS;
  }

  /** A read that was asked for at `askedAt`, and had the choice, lost its place behind others before its turn. */
  noteLostPlace(askedAt: number, nowMs: number): void {
    this.#gathering.noteLostPlace(askedAt, nowMs);
  }

  /** Slow reads move a mean, and so would make themselves usual. */
  #learnUsual(runningMs: number, answers: number): void {
    const isLonger = USUAL_TIMES * runningMs > this.#usualMs;
    const usualMs = this.#usualMs * 2 ** ((isLonger ? answers : -answers) / MEDIAN_ANSWERS);
    this.#usualMs = Math.min(USUAL_MAX_MS, Math.max(GATHERED_SLOW_MS, usualMs));
  }

  get #isNear(): boolean {
    return this.#depth === "auto" && this.#roundTripMs <= NEAR_MS;
  }

  /** The server cannot begin before the read has come, nor before it has answered the one in front. */
  #runningMs({ sentAt, turnAt }: ReadUnderWay, nowMs: number): number {
    return nowMs - Math.max(turnAt, sentAt + this.#roundTripMs);
  }

  get #roundTripMs(): number {
    const shortestMs = Math.min(this.#shortestMs, this.#shortestBeforeMs);
    return shortestMs === Infinity ? START_ROUND_TRIP_MS : shortestMs;
  }
}
