import { setImmediate } from "node:timers";
import type { Clock } from "../../db/mod.ts";

interface Alarm {
  readonly atMs: number;
  /** Alarms of one time ring in the order in which they were set. */
  readonly number: number;
  callback: (() => void) | undefined;
}

/** A clock that jumps from one alarm to the next. */
export class SimulatedClock implements Clock {
  #nowMs = 0;
  #lastNumber = 0;
  /** A binary heap: no alarm is due before its parent, which is at half its index. */
  readonly #alarms: Alarm[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(timeMs: number, callback: () => void): () => void {
    const alarm: Alarm = { atMs: this.#nowMs + timeMs, number: ++this.#lastNumber, callback };
    this.#push(alarm);
    return () => alarm.callback = undefined;
  }

  /** Rings all alarms up to `untilMs`, and runs the promise callbacks after each of them. */
  async run(untilMs: number): Promise<void> {
    while (this.#alarms.length > 0 && this.#alarms[0]!.atMs <= untilMs) {
      const { atMs, callback } = this.#pop();
      if (callback === undefined) continue;
      this.#nowMs = atMs;
      callback();
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(alarm: Alarm): void {
    const alarms = this.#alarms;
    let at = alarms.length;
    for (let parent; at > 0 && isBefore(alarm, alarms[parent = (at - 1) >> 1]!); at = parent) {
      alarms[at] = alarms[parent]!;
    }
    alarms[at] = alarm;
  }

  #pop(): Alarm {
    const alarms = this.#alarms;
    const first = alarms[0]!;
    const last = alarms.pop()!;
    if (alarms.length === 0) return first;
    let at = 0;
    for (let child; (child = 2 * at + 1) < alarms.length; at = child) {
      if (child + 1 < alarms.length && isBefore(alarms[child + 1]!, alarms[child]!)) child++;
      if (!isBefore(alarms[child]!, last)) break;
      alarms[at] = alarms[child]!;
    }
    alarms[at] = last;
    return first;
  }
}

function isBefore(a: Alarm, b: Alarm): boolean {
  return a.atMs < b.atMs || a.atMs === b.atMs && a.number < b.number;
}
