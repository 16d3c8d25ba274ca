/** Work that no caller awaits and that a shutdown must still finish. Replaces the `waitUntil` of Workers on Deno. */
export class BackgroundTasks {
  readonly #pending = new Set<Promise<void>>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Tracks the promise. Its rejection goes to `onError`. */
  readonly waitUntil = (promise: Promise<void>): void => {
    const tracked = promise.catch(this.#onError).finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  };

  /** Resolves when no task is pending, including tasks that are added during the wait. */
  async drain(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
