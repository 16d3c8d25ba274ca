/** Wakes those who wait for work, one for each ring. A ring that nobody hears is kept for the next who waits. */
export class Bell {
  readonly #waiting: (() => void)[] = [];
  #isRung = false;

  ring(): void {
    const wake = this.#waiting.shift();
    if (wake === undefined) this.#isRung = true;
    else wake();
  }

  ringForAll(): void {
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  async heard(): Promise<void> {
    if (!this.#isRung) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#isRung = false;
  }
}
