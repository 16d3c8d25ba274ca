/** Counts the requests that are not answered yet. */
export class RequestTracker {
  #count = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  /** Counts a request until its response settles. No async function, whose frame would stay for as long. */
  track<T>(response: Promise<T>): Promise<T> {
    this.#count++;
    const end = () => {
      if (--this.#count === 0) this.#idle?.resolve();
    };
    response.then(end, end);
    return response;
  }

  /** Resolves when no request is running. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }
}
