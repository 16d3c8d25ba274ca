/**
 * How many reads go behind one another although other connections are free. What goes out in one message, and is answered
 * in one, costs both sides less, and a busy machine answers sooner for it. But a read behind others waits for them. Which
 * of the two weighs more depends on the machines, on the way and on the reads. So the pool tries it (`DepthTrial`), and
 * takes the length at which its callers have their answers sooner. Only reads that had the choice count.
 */
import { DepthTrial } from "./depth_trial.ts";

/** The longest line of `auto`. More would lose more by one slow read, and gain little. */
export const AUTO_DEPTH_MAX = 16;

/** By how many times a trial's lengths differ: nearer ones differ less than two turns of one do. */
const STEP = 4;

/** Lines become longer only if the answers come by so much sooner, as one slow read holds up more of them. */
const GAIN = 0.9;

/** A trial has so many answers in each turn. That of longer lines has more, so that slow reads, which may be few, are in it. */
const SHORTER_TURN = 64;
const LONGER_TURN = 256;

/**
 * After so many answers longer lines are tried again. So less than one of a hundred reads is in such a trial, and the slowest
 * of a hundred is none of them.
 */
const LONGER_REST = 64_000;

/** The first one of these rests. Each is twice as long as the one before: a process that has just begun is slow in any line. */
const FIRST_REST = 4_000;

/** After so long shorter lines are tried again: another load may have come, to which lines are harmful. */
const SHORTER_REST_MS = 10_000;

/** A slow read runs for long in any line, so it counts as so many times the mean at most. The wait behind it counts in full. */
const OUTLIER = 8;

/** Share of the newest answer in that mean. */
const NEWEST = 1 / 128;

/** Of so many reads one may lose its place behind others, for the same reason. */
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
  /** How many reads may lose their places now. */
  #losses = LOSSES_MAX;

  get depth(): number {
    return Math.min(this.#trial?.depth ?? this.#depth, this.#losses);
  }

  /** Answers have come together. */
  note({ callers, askedMs, headMs }: GatheredReads, nowMs: number): void {
    this.#losses = Math.min(LOSSES_MAX, this.#losses + callers / READS_PER_LOSS);
    const waitedMs = callers * nowMs - askedMs - Math.max(0, headMs - OUTLIER * this.#waitMs);
    this.#waitMs += Math.min(1, NEWEST * callers) * (waitedMs / callers - this.#waitMs);
    const trial = this.#trial;
    if (trial === undefined) {
      this.#rest -= callers;
      if (this.#depth > 1 && nowMs >= this.#shorterAt) this.#tryShorter(nowMs);
      else if (this.#depth < AUTO_DEPTH_MAX && this.#rest <= 0) this.#tryLonger(nowMs);
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

  #tryShorter(nowMs: number): void {
    const longer = this.#depth;
    const shorter = longer / STEP;
    this.#trial = new DepthTrial({ shorter, longer, turnMin: SHORTER_TURN }, nowMs);
  }

  #tryLonger(nowMs: number): void {
    const shorter = this.#depth;
    const longer = this.#isFar ? AUTO_DEPTH_MAX : shorter * STEP;
    this.#isFar = !this.#isFar;
    this.#trial = new DepthTrial({ shorter, longer, turnMin: LONGER_TURN }, nowMs);
  }

  #end(trial: DepthTrial, nowMs: number): void {
    const { shorter, longer } = trial;
    const wasLonger = this.#depth === longer;
    const isLonger = trial.isLongerSooner(wasLonger ? 1 : GAIN);
    this.#depth = isLonger ? longer : shorter;
    this.#trial = undefined;
    this.#shorterAt = nowMs + SHORTER_REST_MS;
    if (wasLonger && isLonger) return;
    this.#rest = this.#nextRest;
    this.#nextRest = Math.min(LONGER_REST, 2 * this.#nextRest);
    // The way that was better is tried further at once.
    if (wasLonger) this.#shorterAt = nowMs;
    else if (isLonger) this.#rest = 0;
  }
}
