/**
 * How many requests run at once: as many as keep the turns of the event loop short. When the process needs all of its
 * processor, more requests gain nothing, and one that comes then waits for all of them, as the event loop is first in,
 * first out. So they wait in front of it, where clients share what is free.
 */
import process from "node:process";
import { setImmediate } from "node:timers";
import { systemClock } from "../db/mod.ts";

/** A turn that takes more of the processor's time means that too many requests run. A read waits for two or three turns. */
const TURN_MS = 15;

/** As many requests run in any case: with fewer the process would wait for the database, however long its turns are. */
const LEAST = 16;

/** One long turn, as of a garbage collection, leaves at least this share. */
const LEAST_LEFT = 0.5;

/** While requests wait for the limit, each short turn in which one begins or ends adds this share. */
const GROWTH = 1 / 16;

/** The requests that run may take long without the processor: while it is idle, others need not wait for them to end. */
const IDLE_GROWTH = 1;

/** An idle process uses at most this share of a processor, and its timers are late by at most this share. */
const IDLE_SHARE = 0.5;
const IDLE_LATE = 0.2;

export interface Load {
  readonly running: number;
  /** Of one client. */
  readonly ofClient: number;
  /** Those who have a request. */
  readonly clients: number;
}

/** What the limit is told of the process. */
export interface ProcessTimes {
  now(): number;
  /** Processor time of all threads, in milliseconds. */
  cpuMs(): number;
  atTurnEnd(callback: () => void): void;
  after(timeMs: number, callback: () => void): void;
}

const SYSTEM: ProcessTimes = {
  now: systemClock.now,
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  atTurnEnd: (callback) => void setImmediate(callback),
  after: (timeMs, callback) => void systemClock.after(timeMs, callback),
};

export class LoopLimit {
  readonly #tryAgain: () => void;
  readonly #times: ProcessTimes;
  #limit = LEAST;
  /** Whether a request waits for it. */
  #isReached = false;
  /** Whether a request has begun or ended in the present turn. */
  #isInTurn = false;
  #isLooking = false;

  /** Calls `tryAgain` at times while requests wait for the limit: some may begin although none has ended. */
  constructor(tryAgain: () => void, times: ProcessTimes = SYSTEM) {
    this.#tryAgain = tryAgain;
    this.#times = times;
  }

  /** A request begins or ends. */
  note(running: number): void {
    // So many may run in any case.
    const counts = running > LEAST || running === LEAST && this.#isReached;
    if (!counts || this.#isInTurn) return;
    this.#isInTurn = true;
    const used = this.#stopwatch();
    this.#times.atTurnEnd(() => this.#endTurn(used()));
  }

  isReachedBy(running: number): boolean {
    return running >= this.#limit;
  }

  /** Whether one more may run, of a client that always gets its equal part. */
  allows({ running, ofClient, clients }: Load): boolean {
    if (!this.isReachedBy(running) || ofClient < this.#limit / clients) return true;
    this.#isReached = true;
    this.#lookLater();
    return false;
  }

  #endTurn({ wallMs, cpuMs }: Used): void {
    this.#isInTurn = false;
    // Not the time in which other processes had the processor, nor that of further threads, which compile and collect.
    const tookMs = Math.min(wallMs, cpuMs);
    if (tookMs > TURN_MS) {
      this.#limit = Math.max(LEAST, this.#limit * Math.max(LEAST_LEFT, TURN_MS / tookMs));
    } else if (this.#isReached) {
      this.#limit *= 1 + GROWTH;
    }
    this.#isReached = false;
  }

  #lookLater(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const used = this.#stopwatch();
    this.#times.after(TURN_MS, () => {
      this.#isLooking = false;
      const { wallMs, cpuMs } = used();
      const isIdle = cpuMs <= IDLE_SHARE * wallMs && wallMs <= (1 + IDLE_LATE) * TURN_MS;
      if (isIdle) this.#limit *= 1 + IDLE_GROWTH;
      // Those that may still not begin have it looked at again.
      this.#tryAgain();
    });
  }

  #stopwatch(): () => Used {
    const [sinceMs, sinceCpuMs] = [this.#times.now(), this.#times.cpuMs()];
    return () => ({
      wallMs: this.#times.now() - sinceMs,
      cpuMs: this.#times.cpuMs() - sinceCpuMs,
    });
  }
}

interface Used {
  readonly wallMs: number;
  readonly cpuMs: number;
}
