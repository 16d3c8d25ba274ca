/**
 * How many requests run at once: as many as keep the turns of the event loop short. When the process needs all of its
 * processor, more requests gain nothing, and one that comes then waits for all of them, as the event loop is first in,
 * first out. So they wait in front of it, where clients share what is free.
 */
import process from "node:process";
import { type Clock, systemClock } from "../db/mod.ts";
import { atTurnEnd } from "./loop_turns.ts";

/**
 * A turn that takes more of the processor's time means that too many requests run. A read waits for the turn in which it
 * comes and for that of its answer.
 */
const TURN_MS = 25;

/** As many requests run in any case: with fewer the process would wait for the database, however long its turns are. */
const LEAST = 16;

/** One long turn, as of a garbage collection, leaves at least this share of the limit. */
const LEAST_LEFT = 0.5;

/** While requests wait for the limit, each short turn in which one begins or ends adds this share. */
const GROWTH = 1 / 16;

/** While requests wait for the limit, it is looked at so often whether the process is idle. */
const LOOK_MS = 15;

/** Requests may run for long without the processor. While the process is idle, the others need not wait for them to end. */
const IDLE_GROWTH = LEAST;

/** Most of a processor, in shares of one, that the threads of an idle process use together. */
const IDLE_CPU = 0.5;

/** By how much the timers of an idle process are late at most, in shares of their time. */
const IDLE_LATE = 0.2;

export interface Load {
  readonly running: number;
  /** Of one client. */
  readonly ofClient: number;
  /** That have a request. */
  readonly clients: number;
}

/** What the limit is told of the process. */
export interface ProcessTimes extends Clock {
  /** Processor time of all threads, in milliseconds. */
  cpuMs(): number;
  atTurnEnd(callback: () => void): void;
}

const SYSTEM: ProcessTimes = {
  ...systemClock,
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  atTurnEnd,
};

export class LoopLimit {
  readonly #tryAgain: () => void;
  readonly #times: ProcessTimes;
  #limit = LEAST;
  /** Whether a request was held back since the last turn that counts. */
  #isReached = false;
  /** Most requests that have run in the present turn; 0 if none has begun or ended in it. */
  #mostInTurn = 0;
  #isLooking = false;

  /** Calls `tryAgain` at times while requests wait for the limit: some may begin although none has ended. */
  constructor(tryAgain: () => void, times: ProcessTimes = SYSTEM) {
    this.#tryAgain = tryAgain;
    this.#times = times;
  }

  /** A request begins or ends. */
  note(running: number): void {
    // So many may run in any case.
    if (running < LEAST || running === LEAST && !this.#isReached) return;
    const isFirst = this.#mostInTurn === 0;
    this.#mostInTurn = Math.max(this.#mostInTurn, running);
    if (!isFirst) return;
    const used = this.#stopwatch();
    this.#times.atTurnEnd(() => this.#endTurn(used()));
  }

  isReachedBy(running: number): boolean {
    return running >= this.#limit;
  }

  /** Whether no more may run but of clients that have less than their equal part. Those that wait then try again. */
  holds(running: number): boolean {
    if (!this.isReachedBy(running)) return false;
    this.#isReached = true;
    this.#lookLater();
    return true;
  }

  /** Whether one more may run, of a client that always gets its equal part. */
  allows({ running, ofClient, clients }: Load): boolean {
    return ofClient < this.#limit / clients || !this.holds(running);
  }

  #endTurn({ wallMs, cpuMs }: Used): void {
    // Without the time in which other processes had the processor, and without that of further threads, if those were fewer.
    const tookMs = Math.min(wallMs, cpuMs);
    if (tookMs > TURN_MS) {
      const running = Math.min(this.#limit, this.#mostInTurn);
      this.#limit = Math.max(LEAST, running * Math.max(LEAST_LEFT, TURN_MS / tookMs));
    } else if (this.#isReached) {
      this.#limit *= 1 + GROWTH;
    }
    this.#mostInTurn = 0;
    this.#isReached = false;
  }

  #lookLater(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const used = this.#stopwatch();
    this.#times.after(LOOK_MS, () => {
      this.#isLooking = false;
      const { wallMs, cpuMs } = used();
      const isIdle = cpuMs <= IDLE_CPU * wallMs && wallMs <= (1 + IDLE_LATE) * LOOK_MS;
      this.#tryAgain();
      const isHeldBack = this.#isLooking;
      if (!isIdle || !isHeldBack) return;
      this.#limit += IDLE_GROWTH;
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
