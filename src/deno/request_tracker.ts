/** Counts the requests that are not answered yet. */
export class RequestTracker {
  #count = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  /** Counts a request until its response settles. */
  async track<T>(response: T | Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await response;
    } finally {
      if (--this.#count === 0) this.#idle?.resolve();
    }
  }

  /** Resolves when no request is running. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }
}
