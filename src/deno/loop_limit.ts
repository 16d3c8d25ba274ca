/**
 * How many requests run at once: as many as keep the turns of the event loop short. When the process needs all of its
 * processor, more requests gain nothing, and one that comes then waits for all of them, as the event loop is first in,
 * first out. So they wait in front of it, where clients share what is free.
 */
import process from "node:process";
import { setImmediate } from "node:timers";

/** A turn that takes more of the processor's time means that too many requests run. A read waits for two or three turns. */
const TURN_MS = 15;

/** As many requests run in any case: with fewer the process would wait for the database, however long its turns are. */
const LEAST = 16;

/** One long turn, as of a garbage collection, leaves at least this share. */
const LEAST_LEFT = 0.5;

/** While requests wait for the limit, each short turn adds this share. */
const GROWTH = 1 / 16;

export interface Load {
  readonly running: number;
  /** Of one client. */
  readonly ofClient: number;
  /** Those who have a request. */
  readonly clients: number;
}

/** Where the times of turns come from. */
export interface TurnTimes {
  now(): number;
  /** Processor time of all threads of the process, in milliseconds. */
  cpuMs(): number;
  atTurnEnd(callback: () => void): void;
}

const SYSTEM: TurnTimes = {
  now: () => performance.now(),
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  atTurnEnd: (callback) => void setImmediate(callback),
};

export class LoopLimit {
  readonly #onGrown: () => void;
  readonly #times: TurnTimes;
  #limit = LEAST;
  /** Whether a request waits for it. */
  #isReached = false;
  /** The present turn, if a request began or ended in it. */
  #turn: { readonly sinceMs: number; readonly sinceCpuMs: number } | undefined;

  /** Calls `onGrown` when those that wait for the limit may run. */
  constructor(onGrown: () => void, times: TurnTimes = SYSTEM) {
    this.#onGrown = onGrown;
    this.#times = times;
  }

  /** A request begins or ends. */
  note(running: number): void {
    if (running >= LEAST) this.#beginTurn();
  }

  #beginTurn(): void {
    if (this.#turn !== undefined) return;
    this.#turn = { sinceMs: this.#times.now(), sinceCpuMs: this.#times.cpuMs() };
    this.#times.atTurnEnd(() => this.#endTurn());
  }

  isReachedBy(running: number): boolean {
    return running >= this.#limit;
  }

  /** Whether one more may run, of a client that always gets its equal part. */
  allows({ running, ofClient, clients }: Load): boolean {
    if (!this.isReachedBy(running) || ofClient < this.#limit / clients) return true;
    this.#isReached = true;
    // Those that run may take long, and it must not wait for them to end.
    this.#beginTurn();
    return false;
  }

  #endTurn(): void {
    const { sinceMs, sinceCpuMs } = this.#turn!;
    this.#turn = undefined;
    // Not the time in which other processes had the processor, nor that of further threads, which compile and collect.
    const tookMs = Math.min(this.#times.now() - sinceMs, this.#times.cpuMs() - sinceCpuMs);
    if (tookMs > TURN_MS) {
      this.#limit = Math.max(LEAST, this.#limit * Math.max(LEAST_LEFT, TURN_MS / tookMs));
      if (this.#isReached) this.#beginTurn();
    } else if (this.#isReached) {
      this.#limit *= 1 + GROWTH;
      this.#isReached = false;
      this.#onGrown();
    }
  }
}
