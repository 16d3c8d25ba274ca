/** Does one thing after the other, in the order in which they were asked for, whether or not those before succeed. */
export class SerialQueue {
  readonly #assertMayAsk: () => void;
  #last: Promise<unknown> = Promise.resolve();

  /** `assertMayAsk` throws for whoever must not even wait for a turn: another request's may never come. */
  constructor(assertMayAsk: () => void) {
    this.#assertMayAsk = assertMayAsk;
  }

  run<T>(step: () => T | Promise<T>): Promise<T> {
    try {
      this.#assertMayAsk();
    } catch (error) {
      return Promise.reject(error);
    }
    const done = this.#last.then(step);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Resolves when nothing that was asked for is still under way. Never rejects. */
  async idle(): Promise<void> {
    for (let turn; turn !== this.#last;) await (turn = this.#last);
  }
}
