import type { Clock } from "../../src/db/time/clock.ts";

interface Alarm {
  readonly atMs: number;
  readonly callback: () => void;
}

/** A clock that the test advances. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #alarms = new Set<Alarm>();

  /** Callbacks that are not due yet. */
  get pending(): number {
    return this.#alarms.size;
  }

  now(): number {
    return this.#nowMs;
  }

  after(timeMs: number, callback: () => void): () => void {
    const alarm = { atMs: this.#nowMs + timeMs, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Advances to the next callback that is due by `byMs`, and runs it. Returns false if there is none. */
  fireNext(byMs = Infinity): boolean {
    const due = this.#next(byMs);
    if (due === undefined) return false;
    this.#alarms.delete(due);
    this.#nowMs = due.atMs;
    due.callback();
    return true;
  }

  /** Advances the clock. Runs the callbacks that become due in their order, and promise callbacks after each. */
  async advance(timeMs: number): Promise<void> {
    const endMs = this.#nowMs + timeMs;
    while (this.fireNext(endMs)) await flushPromises();
    this.#nowMs = endMs;
    await flushPromises();
  }

  #next(endMs: number): Alarm | undefined {
    let next: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.atMs <= endMs && alarm.atMs < (next?.atMs ?? Infinity)) next = alarm;
    }
    return next;
  }
}

/** Resolves after all promise callbacks that can run now: a macrotask runs only after all microtasks. */
export function flushPromises(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      port2.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
