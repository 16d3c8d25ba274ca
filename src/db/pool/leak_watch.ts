import { Alarm } from "../time/alarm.ts";
import type { Clock } from "../time/clock.ts";
import type { PoolCounters } from "./pool_stats.ts";
import { type QueueNode, WaiterQueue } from "./waiter_queue.ts";

/** When and to whom a lease that is held too long is reported. */
export interface LeakOptions {
  /** A lease that is held for longer than this is reported. */
  readonly thresholdMs: number;
  /** Share of the leases, from 0 to 1, whose stack is kept for the report. 0 by default: a stack costs microseconds. */
  readonly stackShare?: number;
  /** Called once per lease, in a microtask, so that an exception thrown here reaches no caller of the pool. */
  readonly onLeak: (leak: Leak) => void;
}

/** A lease that is held for longer than the threshold, or whose request ended without returning it. */
export interface Leak {
  /** `AcquireOptions.label` of the lease. */
  readonly label: string | undefined;
  /** Since the lease began. */
  readonly heldMs: number;
  /** Stack of the code that leased, if the lease was sampled. */
  readonly stack: string | undefined;
}

export interface WatchedLease {
  readonly label: string | undefined;
  /** When it was leased, on the pool's clock. */
  readonly since: number;
  readonly stack: string | undefined;
}

/** Watches the leases of one scope. All have the same threshold, so that one timer serves them all. */
export class LeakWatch {
  readonly #options: LeakOptions;
  readonly #clock: Clock;
  readonly #counters: PoolCounters;
  readonly #watched = new WaiterQueue<WatchedLease>();
  readonly #alarm: Alarm;

  constructor(options: LeakOptions, { clock, counters }: { clock: Clock; counters: PoolCounters }) {
    this.#options = options;
    this.#clock = clock;
    this.#counters = counters;
    this.#alarm = new Alarm(clock, () => this.#onAlarm());
  }

  /** Keeps the stack if `sample`, a random number from 0 up to 1, is below `stackShare`. */
  add(
    { label, since, sample }: { label: string | undefined; since: number; sample: number },
  ): QueueNode<WatchedLease> {
    const { stackShare = 0, thresholdMs } = this.#options;
    const stack = sample < stackShare ? new Error().stack : undefined;
    this.#alarm.setBy(since + thresholdMs);
    return this.#watched.push({ label, since, stack });
  }

  /** Does nothing for a lease that was reported or removed before. */
  remove(node: QueueNode<WatchedLease>): void {
    this.#watched.remove(node);
    if (this.#watched.size === 0) this.#alarm.clear();
  }

  /** For a lease whose request has ended: the timer ended with it. Does nothing for a lease that was reported before. */
  reportAbandoned(node: QueueNode<WatchedLease>): void {
    if (!node.isQueued) return;
    this.remove(node);
    this.#report(node.value);
  }

  #onAlarm(): void {
    const { thresholdMs } = this.#options;
    const latest = this.#clock.now() - thresholdMs;
    for (const lease of this.#watched) {
      if (lease.since > latest) return this.#alarm.setBy(lease.since + thresholdMs);
      this.#watched.removeHead();
      this.#report(lease);
    }
  }

  #report({ label, since, stack }: WatchedLease): void {
    const leak = { label, heldMs: this.#clock.now() - since, stack };
    queueMicrotask(() => {
      this.#counters.leaked++;
      this.#options.onLeak(leak);
    });
  }
}
