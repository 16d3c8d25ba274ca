/** A trial of two line lengths: turns at each of them, and how long callers wait for their answers. */

/** Each half has a turn of both. What grows or falls meanwhile, such as the load, adds to one half and takes from the other. */
const TURNS = ["shorter", "longer", "longer", "shorter"] as const;

/** A turn has so many times the answers that were on their way when it began. */
const TURN_ROUNDS = 4;

export interface DepthTrialOptions {
  readonly shorter: number;
  readonly longer: number;
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
  readonly shorter: number;
  readonly longer: number;
  readonly #turnMin: number;
  /** One more than is compared: late answers to the others come in it. */
  readonly #turns: Turn[] = [];
  /** How many answers of the newest turn were asked for before it. */
  #before = 0;

  constructor({ shorter, longer, turnMin }: DepthTrialOptions, nowMs: number) {
    this.shorter = shorter;
    this.longer = longer;
    this.#turnMin = turnMin;
    this.#begin(nowMs);
  }

  /** The length of this turn. */
  get depth(): number {
    return this[TURNS[this.#turns.length - 1] ?? "shorter"];
  }

  get isOver(): boolean {
    return this.#turns.length > TURNS.length + 1;
  }

  /** Whether callers waited for less than `share` of the time at the greater length, in both halves. */
  isLongerSooner(share: number): boolean {
    const [one, two, three, four] = this.#turns.map(meanOf);
    return two! < share * one! && three! < share * four!;
  }

  note({ callers, askedAt, waitedMs }: AnsweredReads, nowMs: number): void {
    const newest = this.#turns.at(-1)!;
    const turn = this.#turnAt(askedAt);
    if (turn !== newest) this.#before += callers;
    if (turn === undefined) return;
    turn.callers += callers;
    turn.waitedMs += waitedMs;
    if (newest.callers >= Math.max(this.#turnMin, TURN_ROUNDS * this.#before)) this.#begin(nowMs);
  }

  /** A caller that asked at `askedAt` has waited until now, and has no answer. */
  noteLostPlace(askedAt: number, nowMs: number): void {
    const turn = this.#turnAt(askedAt);
    if (turn !== undefined) turn.waitedMs += nowMs - askedAt;
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
