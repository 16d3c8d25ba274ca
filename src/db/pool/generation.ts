import { classify } from "../failures/classify.ts";

/** Two terminations by an administrator (57P01) within this time are more than a single kill. */
const SUSPICION_MS = 1_000;

/**
 * Counts the ends of the server that its errors report (`Failure.generation`), or that show otherwise. The pool does not
 * reuse a connection that was opened in an earlier generation. One connection that an administrator terminates ends no
 * generation.
 */
export class Generation {
  #current = 0;
  #suspectedAtMs = -Infinity;

  get current(): number {
    return this.#current;
  }

  /** Ends the generation, if it is still the current one. */
  end(generation: number): void {
    if (generation === this.#current) this.#current++;
  }

  /**
   * To be called for each failed connect, and for each connection that this side did not close. `openedIn` is the
   * generation in which that connect started.
   */
  noteFailure(reason: Error, { nowMs, openedIn }: { nowMs: number; openedIn: number }): void {
    const { generation } = classify(reason, "statement");
    if (generation === "stays") return;
    // A server that shuts down terminates its connections one by one. The later ones belong to the generation that has
    // ended already, and say nothing about the connections that were opened since.
    if (generation === "suspect" && openedIn !== this.#current) return;
    const isSecond = nowMs - this.#suspectedAtMs <= SUSPICION_MS;
    if (generation === "ends" || isSecond) this.#current++;
    this.#suspectedAtMs = generation === "suspect" && !isSecond ? nowMs : -Infinity;
  }
}
