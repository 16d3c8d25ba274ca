/**
 * How many reads go behind one another although other connections are free. What goes out in one message, and is answered
 * in one, costs both sides less, and a busy machine answers sooner for it. But a read behind others waits for them. Which
 * of the two weighs more depends on the machines, on the way and on the reads. So the pool tries it (`DepthTrial`), and
 * takes the length at which its callers have their answers sooner. Only reads that had the choice count.
 */
import { DepthTrial } from "./depth_trial.ts";

/** The longest line of `auto`, unless slow reads hold up other connections. More would lose more by one, and gain little. */
export const AUTO_DEPTH_MAX = 16;

/** By how many times a trial's lengths differ: nearer ones differ less than two turns of one do. */
const STEP = 4;

/** Lines become longer only if the answers come by so much sooner, as one slow read holds up more of them. */
const GAIN = 0.9;

/** A trial has so many answers in each turn. That of longer lines has more, so that slow reads, which may be few, are in it. */
const SHORTER_TURN = 64;
const LONGER_TURN = 256;

/**
 * After so many answers longer lines are tried again: where they do not serve, they delay so few reads that the p99 stays
 * what it is.
 */
const LONGER_REST = 64_000;

/** The first one of these rests. Each is twice as long as the one before: a process that has just begun is slow in any line. */
const FIRST_REST = 4_000;

/**
 * Longer lines are tried only while so many reads are under way on average, as on a server that is too slow for its load.
 * With fewer, hardly one would go behind another but in a burst, and a trial would be a greater share of the reads.
 */
const BUSY_READS = 2;

/** A longer interval between answers counts as this one: a load after a night without reads is seen within a thousand answers. */
const INTERVAL_MAX_MS = 1_000;

/** After so long shorter lines are tried again: another load may have come, to which lines are harmful. */
const SHORTER_REST_MS = 10_000;

/** A slow read runs for long in any line, so it counts as so many times the mean at most. The wait behind it counts in full. */
const OUTLIER = 8;

/** Share of the newest answer in a mean. */
const NEWEST = 1 / 128;

/** Of so many reads one may lose its place behind others: few enough for the p99 to stay what it is. */
const READS_PER_LOSS = 400;

/** Most of them that are saved up. */
const LOSSES_MAX = 16;

export interface GatheredReads {
  /** How many callers have an answer. */
  readonly callers: number;
  /** When they asked, in sum. */
  readonly askedMs: number;
  /** How long the first one of them ran; 0 if its caller is not one of them. */
  readonly headMs: number;
}

export class Gathering {
  #depth = 1;
  #trial: DepthTrial | undefined;
  /** How many answers come until a trial of longer lines. */
  #rest = 0;
  #nextRest = FIRST_REST;
  /**
   * Whether the next one is of the longest. Where all connections are in use, lines are long anyway, and somewhat longer ones
   * make no difference.
   */
  #isFar = false;
  /** When a trial of shorter lines comes. */
  #shorterAt = -Infinity;
  /** How long a caller waits. */
  #waitMs = 1;
  /** The interval at which answers come. */
  #intervalMs = INTERVAL_MAX_MS;
  #notedAt = 0;
  /** How many reads may lose their places now. */
  #losses = LOSSES_MAX;

  get depth(): number {
    return Math.min(this.#trial?.depth ?? this.#depth, this.#losses);
  }

  /** Answers have come together. */
  note({ callers, askedMs, headMs }: GatheredReads, nowMs: number): void {
    this.#losses = Math.min(LOSSES_MAX, this.#losses + callers / READS_PER_LOSS);
    const waitedMs = callers * nowMs - askedMs - Math.max(0, headMs - OUTLIER * this.#waitMs);
    const newest = Math.min(1, NEWEST * callers);
    this.#waitMs += newest * (waitedMs / callers - this.#waitMs);
    const intervalMs = Math.min(nowMs - this.#notedAt, INTERVAL_MAX_MS) / callers;
    this.#intervalMs += newest * (intervalMs - this.#intervalMs);
    this.#notedAt = nowMs;
    const trial = this.#trial;
    if (trial === undefined) {
      this.#rest -= callers;
      if (this.#depth > 1 && nowMs >= this.#shorterAt) this.#tryShorter(nowMs);
      else if (this.#isLongerDue) this.#tryLonger(nowMs);
    } else {
      trial.note({ callers, askedAt: askedMs / callers, waitedMs }, nowMs);
      if (trial.isOver) this.#end(trial, nowMs);
    }
  }

  /** A read that was asked for at `askedAt`, and had the choice, lost its place behind others before its turn. */
  noteLostPlace(askedAt: number, nowMs: number): void {
    this.#losses = Math.max(0, this.#losses - 1);
    this.#trial?.noteLostPlace(askedAt, nowMs);
  }

  get #isLongerDue(): boolean {
    const isBusy = this.#waitMs >= BUSY_READS * this.#intervalMs;
    return isBusy && this.#depth < AUTO_DEPTH_MAX && this.#rest <= 0;
  }

  #tryShorter(nowMs: number): void {
    const present = this.#depth;
    this.#trial = new DepthTrial({
      present,
      other: present / STEP,
      share: 1,
      turnMin: SHORTER_TURN,
    }, nowMs);
  }

  #tryLonger(nowMs: number): void {
    const present = this.#depth;
    const other = this.#isFar ? AUTO_DEPTH_MAX : present * STEP;
    this.#isFar = !this.#isFar;
    this.#trial = new DepthTrial({ present, other, share: GAIN, turnMin: LONGER_TURN }, nowMs);
  }

  #end({ other, isWon }: DepthTrial, nowMs: number): void {
    const isLonger = other > this.#depth;
    this.#trial = undefined;
    // The way that has lost rests. The other one is still due, and so is tried further at once.
    if (isLonger === isWon) this.#shorterAt = nowMs + SHORTER_REST_MS;
    else this.#restLonger();
    if (isWon) this.#depth = other;
  }

  #restLonger(): void {
    this.#rest = this.#nextRest;
    this.#nextRest = Math.min(LONGER_REST, 2 * this.#nextRest);
  }
}
