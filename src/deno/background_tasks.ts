/** What a process still has to finish though nobody waits for it: Deno's stand-in for `waitUntil`. */
export class BackgroundTasks {
  readonly #pending = new Set<Promise<void>>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Takes over a promise, its failure included. */
  readonly waitUntil = (rest: Promise<void>): void => {
    const tracked = rest.catch(this.#onError).finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  };

  /** Resolves once nothing is pending, what is added meanwhile included. */
  async drain(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
