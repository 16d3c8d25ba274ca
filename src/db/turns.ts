/** Does one thing after the other, in the order in which they were asked for, whether or not those before succeed. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(step: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Resolves when nothing that was asked for is still under way. Never rejects. */
  async over(): Promise<void> {
    for (let turn; turn !== this.#last;) await (turn = this.#last);
  }
}
