/** Spreads what comes at one moment over turns of the event loop, so that requests are answered in between. */
import { setImmediate } from "node:timers";

/** Calls it once the event loop has done what it had to do in this turn. */
export function atTurnEnd(callback: () => void): void {
  setImmediate(callback);
}

export class LoopTurns {
  readonly #perTurn: number;
  readonly #waiting: (() => void)[] = [];
  /** Of this turn. */
  #taken = 0;

  constructor({ perTurn }: { perTurn: number }) {
    this.#perTurn = perTurn;
  }

  /** Resolves for `perTurn` callers in each turn, in the order of the calls. */
  async next(): Promise<void> {
    if (this.#taken === this.#perTurn) {
      return await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#taken++;
    if (this.#taken === 1) this.#endTurnLater();
  }

  #endTurnLater(): void {
    atTurnEnd(() => {
      const next = this.#waiting.splice(0, this.#perTurn);
      this.#taken = next.length;
      if (next.length > 0) this.#endTurnLater();
      for (const resolve of next) resolve();
    });
  }
}
