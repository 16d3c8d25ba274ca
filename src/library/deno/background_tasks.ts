/** Work that no caller awaits and that a shutdown must still finish. Replaces the `waitUntil` of Workers on Deno. */
export class BackgroundTasks {
  /** A count, as a `Set` keeps what it held: `SharedConnection` says why. */
  #pending = 0;
  #settled: PromiseWithResolvers<void> | undefined;
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Tracks the promise. Its rejection goes to `onError`. */
  readonly waitUntil = (promise: Promise<void>): void => {
    this.#pending++;
    void promise.catch(this.#onError).finally(() => this.#noteEnd());
  };

  #noteEnd(): void {
    if (--this.#pending > 0) return;
    this.#settled?.resolve();
    this.#settled = undefined;
  }

  /** Resolves when no task is pending, including tasks that are added during the wait. */
  async drain(): Promise<void> {
    while (this.#pending > 0) await (this.#settled ??= Promise.withResolvers()).promise;
  }
}
