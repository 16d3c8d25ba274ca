/** Runs tasks one after the other, in the order of the calls. A task that fails does not stop those after it. */
export class SerialQueue {
  readonly #assertMayRun: () => void;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * `assertMayRun` throws for a caller that must not wait in this queue. In workerd, code of another request would wait
   * for ever.
   */
  constructor(assertMayRun: () => void) {
    this.#assertMayRun = assertMayRun;
  }

  /** Settles as the task does. Rejects at once with what `assertMayRun` throws. */
  run<T>(task: () => T | Promise<T>): Promise<T> {
    try {
      this.#assertMayRun();
    } catch (error) {
      return Promise.reject(error);
    }
    const done = this.#last.then(task);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Resolves when all tasks have ended, also those that are added meanwhile. Never rejects. */
  async idle(): Promise<void> {
    for (let last; last !== this.#last;) await (last = this.#last);
  }
}
