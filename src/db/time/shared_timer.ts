import { Alarm } from "./alarm.ts";
import type { Clock } from "./clock.ts";

interface Deadline {
  readonly dueAt: number;
  readonly callback: () => void;
}

/**
 * A clock whose callbacks share one timer of another clock, for deadlines that hardly ever come: to start and stop a timer
 * for each costs more than a deadline is worth. All callbacks must belong to one owner scope, as the timer does.
 */
export class SharedTimer implements Clock {
  readonly #clock: Clock;
  readonly #deadlines = new Set<Deadline>();
  readonly #alarm: Alarm;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#alarm = new Alarm(clock, () => this.#onAlarm());
  }

  now(): number {
    return this.#clock.now();
  }

  after(timeMs: number, callback: () => void): () => void {
    const deadline = { dueAt: this.#clock.now() + timeMs, callback };
    this.#deadlines.add(deadline);
    this.#alarm.setBy(deadline.dueAt);
    return () => {
      this.#deadlines.delete(deadline);
      // A timer would keep a process, or an object, alive.
      if (this.#deadlines.size === 0) this.#alarm.clear();
    };
  }

  #onAlarm(): void {
    const nowMs = this.#clock.now();
    // A callback may cancel others, which are then not visited, and add some, which are.
    for (const deadline of this.#deadlines) {
      if (deadline.dueAt > nowMs) this.#alarm.setBy(deadline.dueAt);
      else {
        this.#deadlines.delete(deadline);
        deadline.callback();
      }
    }
  }
}
