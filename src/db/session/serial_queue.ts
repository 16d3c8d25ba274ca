import { showCaller } from "./statement_error.ts";

/** Runs tasks one after the other, in the order of the calls. A task that fails does not stop those after it. */
export class SerialQueue {
  readonly #assertMayRun: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #unfinished = 0;

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
    this.#unfinished++;
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    // One step later than the caller's own continuation is queued, which may add a task before `idle` looks.
    this.#last = promise.then(() => {});
    return this.#runAfter(before, task, resolve);
  }

  /** The queue has a promise of its own, so that only the caller awaits this one: `showCaller` needs that. */
  async #runAfter<T>(
    before: Promise<unknown>,
    task: () => T | Promise<T>,
    end: () => void,
  ): Promise<T> {
    await before;
    try {
      return await task();
    } catch (error) {
      showCaller(error);
      throw error;
    } finally {
      this.#unfinished--;
      end();
    }
  }

  /** Whether all tasks have ended. */
  get isIdle(): boolean {
    return this.#unfinished === 0;
  }

  /** Resolves when all tasks have ended, also those that are added meanwhile. Never rejects. */
  async idle(): Promise<void> {
    for (let last; last !== this.#last;) await (last = this.#last);
  }
}
