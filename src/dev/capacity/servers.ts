import type { Clock } from "../../db/mod.ts";

/** A queue, first in, first out, in front of some servers of one kind: a thread, the cores of a database, or a pooler. */
export class Servers {
  readonly #clock: Clock;
  /** When each of them is free. */
  readonly #freeAtMs: number[];
  #busyMs = 0;

  constructor(clock: Clock, count: number) {
    this.#clock = clock;
    this.#freeAtMs = new Array(count).fill(0);
  }

  /** The earliest time at which one of them can begin. */
  get nextStartMs(): number {
    return Math.max(this.#clock.now(), this.#freeAtMs[this.#first()]!);
  }

  /** Whether all were free before this moment. */
  get isIdle(): boolean {
    const nowMs = this.#clock.now();
    return this.#freeAtMs.every((freeAtMs) => freeAtMs < nowMs);
  }

  /** Occupies the one that is free first. */
  occupy(fromMs: number, untilMs: number): void {
    this.#freeAtMs[this.#first()] = untilMs;
    this.#busyMs += untilMs - fromMs;
  }

  /** Does a task as soon as one is free, and calls back after it. */
  run(taskMs: number, done: () => void): void {
    const startMs = this.nextStartMs;
    this.occupy(startMs, startMs + taskMs);
    this.#clock.after(startMs + taskMs - this.#clock.now(), done);
  }

  /** For how long they were occupied, or will be, all together. */
  get busyMs(): number {
    return this.#busyMs;
  }

  #first(): number {
    let first = 0;
    for (let k = 1; k < this.#freeAtMs.length; k++) {
      if (this.#freeAtMs[k]! < this.#freeAtMs[first]!) first = k;
    }
    return first;
  }
}
