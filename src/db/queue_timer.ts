import type { Clock } from "./clock.ts";
import type { WaiterQueue } from "./waiter_queue.ts";

/**
 * One timer for all waiters of a queue, who all may wait equally long, so that the head's time runs out first. Arming
 * and clearing one for each would cost as much as the rest of an acquire, and nearly all are served long before.
 */
export class QueueTimer<T extends { readonly since: number }> {
  readonly #queue: WaiterQueue<T>;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onTimeout: (waiter: T) => void;
  #cancel: (() => void) | undefined;

  /** `onTimeout` has to remove the waiter. */
  constructor(
    queue: WaiterQueue<T>,
    { clock, timeoutMs, onTimeout }: {
      clock: Clock;
      timeoutMs: number;
      onTimeout: (waiter: T) => void;
    },
  ) {
    this.#queue = queue;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onTimeout = onTimeout;
  }

  /** To be called when a waiter has come. */
  start(): void {
    if (this.#cancel === undefined) this.#arm(this.#timeoutMs);
  }

  /** To be called when the last waiter has left; until then it fires for the head, whoever that is. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(timeMs: number): void {
    this.#cancel = this.#clock.after(timeMs, () => {
      this.#cancel = undefined;
      this.#fire();
    });
  }

  #fire(): void {
    const latest = this.#clock.now() - this.#timeoutMs;
    let head = this.#queue.head;
    for (; head !== undefined && head.since <= latest; head = this.#queue.head) {
      this.#onTimeout(head);
    }
    // A runtime's timers count whole milliseconds.
    if (head !== undefined) this.#arm(Math.ceil(head.since - latest));
  }
}
