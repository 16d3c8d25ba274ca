/**
 * Lets idle workers wait for work, as a condition variable does. A notification without a waiter is kept for the next
 * call of `wait`; at most one is kept.
 */
export class Signal {
  readonly #waiters: (() => void)[] = [];
  #isPending = false;

  /** Wakes the worker that has waited longest. */
  notify(): void {
    const wake = this.#waiters.shift();
    if (wake === undefined) this.#isPending = true;
    else wake();
  }

  notifyAll(): void {
    this.#waiters.splice(0).forEach((wake) => wake());
  }

  async wait(): Promise<void> {
    if (!this.#isPending) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    else this.#isPending = false;
  }
}
