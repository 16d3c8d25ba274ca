import { showCaller } from "./statement_error.ts";

/** Runs tasks one after the other, in the order of the calls. A task that fails does not stop those after it. */
export class SerialQueue {
  readonly #assertMayRun: () => void;
  /** Begin the tasks that wait for those before them. */
  readonly #waiting: (() => void)[] = [];
  /** Wake the callers of `idle`. */
  #onIdle: (() => void)[] = [];
  #unfinished = 0;

  /**
   * `assertMayRun` throws for a caller that must not wait in this queue. In workerd, code of another request would wait
   * for ever.
   */
  constructor(assertMayRun: () => void) {
    this.#assertMayRun = assertMayRun;
  }

  /**
   * Settles as the task does. Rejects at once with what `assertMayRun` throws. Only the caller awaits this promise:
   * `showCaller` needs that.
   */
  async run<T>(task: () => T | Promise<T>): Promise<T> {
    this.#assertMayRun();
    const mustWait = this.#unfinished++ > 0;
    // Without a wait too: the stack of an error would otherwise show this layer's functions in front of the caller's.
    await (mustWait ? new Promise<void>((begin) => this.#waiting.push(begin)) : undefined);
    try {
      return await task();
    } catch (error) {
      showCaller(error);
      throw error;
    } finally {
      this.#end();
    }
  }

  #end(): void {
    this.#waiting.shift()?.();
    if (--this.#unfinished > 0) return;
    const waking = this.#onIdle;
    if (waking.length === 0) return;
    this.#onIdle = [];
    for (const wake of waking) wake();
  }

  /** Whether all tasks have ended. */
  get isIdle(): boolean {
    return this.#unfinished === 0;
  }

  /** Resolves when all tasks have ended, also those that are added meanwhile. Never rejects. */
  async idle(): Promise<void> {
    while (this.#unfinished > 0) {
      await new Promise<void>((wake) => this.#onIdle.push(wake));
      // The caller of the task goes on first, and may add another one.
      await undefined;
    }
  }
}
