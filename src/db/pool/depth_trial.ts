/** A trial of another line length: turns at it and at the present one, and how long callers wait for their answers. */

/** Each half has a turn of both. What grows or falls meanwhile, such as the load, adds to one half and takes from the other. */
const TURNS = ["present", "other", "other", "present"] as const;

/** A turn has so many times the answers that were on their way when it began. */
const TURN_ROUNDS = 4;

/** A turn that takes longer ends the trial, and the shorter lines win: mostly the load has gone, and without one they are right. */
const TURN_MAX_MS = 10_000;

export interface DepthTrialOptions {
  readonly present: number;
  readonly other: number;
  /** The other one wins if callers wait for less than this share of the time at it. */
  readonly share: number;
  /** A turn has so many answers at least. */
  readonly turnMin: number;
}

/** Reads whose answers came together. */
export interface AnsweredReads {
  /** How many callers have an answer. */
  readonly callers: number;
  /** When they asked, on average. */
  readonly askedAt: number;
  /** How long they waited, in sum. */
  readonly waitedMs: number;
}

interface Turn {
  readonly beganAt: number;
  /** Of the reads that were asked for in it. */
  callers: number;
  waitedMs: number;
}

export class DepthTrial {
  readonly #options: DepthTrialOptions;
  /** One more than is compared: late answers to the others come in it. */
  readonly #turns: Turn[] = [];
  /** How many answers of the newest turn were asked for before it. */
  #before = 0;
  #isTooLong = false;

  constructor(options: DepthTrialOptions, nowMs: number) {
    this.#options = options;
    this.#begin(nowMs);
  }

  get other(): number {
    return this.#options.other;
  }

  /** The length of this turn. */
  get depth(): number {
    return this.#options[TURNS[this.#turns.length - 1] ?? "present"];
  }

  get isOver(): boolean {
    return this.#isTooLong || this.#isLost || this.#turns.length > TURNS.length + 1;
  }

  /** Whether callers have their answers sooner at the other length; once the trial is over. */
  get isWon(): boolean {
    const { present, other, share } = this.#options;
    if (this.#isTooLong) return other < present;
    const [one, two, three, four] = this.#turns.map(meanOf);
    // A trial that was lost before its third turn has lost its first half.
    return two! < share * one! && three! < share * four!;
  }

  note({ callers, askedAt, waitedMs }: AnsweredReads, nowMs: number): void {
    const newest = this.#turns.at(-1)!;
    this.#isTooLong = nowMs - newest.beganAt > TURN_MAX_MS;
    const turn = this.#turnAt(askedAt);
    if (turn !== newest) this.#before += callers;
    if (turn === undefined) return;
    turn.callers += callers;
    turn.waitedMs += waitedMs;
    if (newest.callers >= this.#turnSize) this.#begin(nowMs);
  }

  /** A caller that asked at `askedAt` has waited until now, and has no answer. */
  noteLostPlace(askedAt: number, nowMs: number): void {
    const turn = this.#turnAt(askedAt);
    if (turn !== undefined) turn.waitedMs += nowMs - askedAt;
  }

  get #turnSize(): number {
    return Math.max(this.#options.turnMin, TURN_ROUNDS * this.#before);
  }

  /** Whether callers have already waited for so long at the other length that it cannot win. The trial ends then, and delays few reads. */
  get #isLost(): boolean {
    if (this.#turns.length !== 2) return false;
    const [one, two] = this.#turns;
    return two!.waitedMs >= this.#options.share * meanOf(one!) * this.#turnSize;
  }

  #turnAt(askedAt: number): Turn | undefined {
    return this.#turns.findLast(({ beganAt }) => beganAt <= askedAt);
  }

  #begin(nowMs: number): void {
    this.#turns.push({ beganAt: nowMs, callers: 0, waitedMs: 0 });
    this.#before = 0;
  }
}

function meanOf({ waitedMs, callers }: Turn): number {
  return waitedMs / callers;
}
