/** How many answers are still owed. */
export class RequestTracker {
  #count = 0;
  #over: PromiseWithResolvers<void> | undefined;

  /** Counts an answer until it is there. */
  async track<T>(answer: T | Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await answer;
    } finally {
      if (--this.#count === 0) this.#over?.resolve();
    }
  }

  /** Resolves once none is owed. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    this.#over ??= Promise.withResolvers<void>();
    return this.#over.promise;
  }
}
