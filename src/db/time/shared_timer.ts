import { Alarm } from "./alarm.ts";
import type { Clock } from "./clock.ts";

interface Deadline {
  readonly dueAt: number;
  readonly callback: () => void;
  /** Its place in the list; -1 once it was removed. */
  index: number;
}

/**
 * A clock whose callbacks share one timer of another clock, for deadlines that hardly ever come: to start and stop a timer
 * for each costs more than a deadline is worth. All callbacks must belong to one owner scope, as the timer does.
 *
 * A timer keeps a process, or an object, alive. Without a deadline it is stopped at once, unless something else keeps the
 * owner alive anyway, such as a connection (`keep`).
 */
export class SharedTimer implements Clock {
  readonly #clock: Clock;
  /** How many calls of `keep` have not been undone. */
  #keepers = 0;
  /**
   * In no order. Not a `Set`: each of its former tables leads to the next one, so that one that V8 has moved to the old
   * generation would keep all deadlines after it, and the flights that they belong to, until that is collected.
   */
  readonly #deadlines: Deadline[] = [];
  readonly #alarm: Alarm;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#alarm = new Alarm(clock, () => this.#onAlarm());
  }

  now(): number {
    return this.#clock.now();
  }

  after(timeMs: number, callback: () => void, nowMs: number = this.#clock.now()): () => void {
    const index = this.#deadlines.length;
    const deadline = { dueAt: nowMs + timeMs, callback, index };
    this.#deadlines.push(deadline);
    this.#alarm.setBy(deadline.dueAt);
    return () => this.#remove(deadline);
  }

  /** Lets the timer run on without a deadline, until `letGo`. */
  keep(): void {
    this.#keepers++;
  }

  letGo(): void {
    this.#keepers--;
    this.#stopIfUnused();
  }

  #remove(deadline: Deadline): void {
    const { index } = deadline;
    if (index === -1) return;
    deadline.index = -1;
    const last = this.#deadlines.pop()!;
    if (last !== deadline) {
      this.#deadlines[index] = last;
      last.index = index;
    }
    this.#stopIfUnused();
  }

  #stopIfUnused(): void {
    if (this.#deadlines.length === 0 && this.#keepers === 0) this.#alarm.clear();
  }

  #onAlarm(): void {
    const nowMs = this.#clock.now();
    for (const deadline of this.#deadlines.filter(({ dueAt }) => dueAt <= nowMs)) {
      // The callback of another one may have cancelled it.
      if (deadline.index === -1) continue;
      this.#remove(deadline);
      deadline.callback();
    }
    for (const { dueAt } of this.#deadlines) this.#alarm.setBy(dueAt);
  }
}
