import type { Clock } from "./clock.ts";

/** One timer for many deadlines: it fires at the earliest of them. */
export class Alarm {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #dueAt = Infinity;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Fires at this time of the clock at the latest, in milliseconds. `Infinity` changes nothing. */
  setBy(dueAt: number): void {
    if (dueAt >= this.#dueAt) return;
    this.#cancel?.();
    this.#dueAt = dueAt;
    // The runtime's timers count whole milliseconds.
    const waitMs = Math.max(0, Math.ceil(dueAt - this.#clock.now()));
    this.#cancel = this.#clock.after(waitMs, () => {
      this.#cancel = undefined;
      this.#dueAt = Infinity;
      this.#onDue();
    });
  }

  clear(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#dueAt = Infinity;
  }
}
