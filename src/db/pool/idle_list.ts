import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";

/** A connection that nobody uses. */
export interface Idle {
  /** When it has been idle for too long, or is too old. */
  readonly idleUntil: number;
}

/**
 * The idle connections of one scope, the most recently used first, so that those that are not needed grow old. Where
 * the owner lives on, a timer tells when the first of them is due; elsewhere that is seen when one is asked for.
 */
export class IdleList<T extends Idle> {
  readonly #clock: Clock;
  readonly #onDue: (idle: T) => void;
  readonly #alarm: Alarm | undefined;
  #idle: T[] = [];

  /** `onDue` is told of those that have left the list. */
  constructor(
    { clock, sweeps, onDue }: { clock: Clock; sweeps: boolean; onDue: (idle: T) => void },
  ) {
    this.#clock = clock;
    this.#onDue = onDue;
    this.#alarm = sweeps ? new Alarm(clock, () => this.#sweep()) : undefined;
  }

  get size(): number {
    return this.#idle.length;
  }

  push(idle: T): void {
    this.#idle.push(idle);
    this.#alarm?.setBy(idle.idleUntil);
  }

  pop(): T | undefined {
    return this.#idle.pop();
  }

  remove(idle: T): void {
    const index = this.#idle.indexOf(idle);
    if (index !== -1) this.#idle.splice(index, 1);
  }

  /** Empties the list, and sets no timer for it any more. */
  takeAll(): T[] {
    this.#alarm?.clear();
    return this.#idle.splice(0);
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    const due = this.#idle.filter(({ idleUntil }) => idleUntil <= nowMs);
    this.#idle = this.#idle.filter(({ idleUntil }) => idleUntil > nowMs);
    for (const { idleUntil } of this.#idle) this.#alarm?.setBy(idleUntil);
    for (const idle of due) this.#onDue(idle);
  }
}
