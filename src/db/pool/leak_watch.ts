import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";
import { type QueueNode, WaiterQueue } from "./waiter_queue.ts";

export interface LeakOptions {
  /** How long a lease may be held before it is reported. */
  readonly thresholdMs: number;
  /** Share of the leases, from 0 to 1, whose stack is kept for the report; 0 by default, as one costs microseconds. */
  readonly stackShare?: number;
  /** Told once of each lease, in a turn of its own: what it throws is nobody's who uses the pool. */
  readonly onLeak: (leak: Leak) => void;
}

/** A lease that is held for too long, or that was never given back. */
export interface Leak {
  /** Who asked for it, in the caller's words. */
  readonly label: string | undefined;
  readonly heldMs: number;
  /** Where it was asked for, if it was among those whose stack is kept. */
  readonly stack: string | undefined;
}

/** A lease that is watched. */
export interface WatchedLease {
  readonly label: string | undefined;
  readonly since: number;
  readonly stack: string | undefined;
}

/** Watches over the leases of one scope: all may be held equally long, so that one timer is enough for them. */
export class LeakWatch {
  readonly #options: LeakOptions;
  readonly #clock: Clock;
  readonly #held = new WaiterQueue<WatchedLease>();
  readonly #alarm: Alarm;

  constructor(options: LeakOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#alarm = new Alarm(clock, () => this.#due());
  }

  /** `sample` from 0 up to 1 decides whether the stack is kept. */
  add(
    { label, since, sample }: { label: string | undefined; since: number; sample: number },
  ): QueueNode<
    WatchedLease
  > {
    const { stackShare = 0, thresholdMs } = this.#options;
    const stack = sample < stackShare ? new Error().stack : undefined;
    this.#alarm.setBy(since + thresholdMs);
    return this.#held.push({ label, since, stack });
  }

  /** Harmless for a lease that was reported before. */
  remove(place: QueueNode<WatchedLease>): void {
    this.#held.remove(place);
    if (this.#held.size === 0) this.#alarm.clear();
  }

  /** For one whose owner has ended: nobody's timer will tell of it. Harmless for one that was reported before. */
  report(place: QueueNode<WatchedLease>): void {
    if (!place.isQueued) return;
    this.remove(place);
    this.#tell(place.waiter);
  }

  #due(): void {
    const { thresholdMs } = this.#options;
    const latest = this.#clock.now() - thresholdMs;
    for (const held of this.#held) {
      if (held.since > latest) return this.#alarm.setBy(held.since + thresholdMs);
      this.#held.removeHead();
      this.#tell(held);
    }
  }

  #tell({ label, since, stack }: WatchedLease): void {
    const leak = { label, heldMs: this.#clock.now() - since, stack };
    queueMicrotask(() => this.#options.onLeak(leak));
  }
}
