import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";

export interface Idle {
  /** When the connection reaches its idle timeout or its age. */
  readonly idleUntil: number;
}

/**
 * The idle connections of one scope, last in, first out: the pool reuses the same few connections, and the others reach
 * their idle timeout.
 */
export class IdleList<T extends Idle> {
  readonly #clock: Clock;
  readonly #onDue: (idle: T) => void;
  readonly #alarm: Alarm | undefined;
  #idle: T[] = [];

  /**
   * With `sweeps`, a timer removes the connections that are due and passes them to `onDue`. Without it the caller of
   * `pop` checks `idleUntil`.
   */
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

  /** Empties the list and cancels its timer. */
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
