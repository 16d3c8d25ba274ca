import { classify } from "../failures.ts";

/** Two goodbyes of an administrator within this time are no single kill. */
const SUSPICION_MS = 1_000;

/**
 * Counts the lives of the server, as far as its goodbyes tell: connections that were opened before the newest one are
 * not to be trusted. A single kill costs a single connection.
 */
export class Generation {
  #current = 0;
  #suspectedAtMs = -Infinity;

  get current(): number {
    return this.#current;
  }

  /** To be told of each end of a connection that this side did not want, and of which generation the connection was. */
  observe(reason: Error, { nowMs, of }: { nowMs: number; of: number }): void {
    const { generation } = classify(reason, "statement");
    if (generation === "stays") return;
    // Many that are terminated together are heard of one by one: the later ones say nothing of their successors.
    if (generation === "suspect" && of !== this.#current) return;
    const isSecond = nowMs - this.#suspectedAtMs <= SUSPICION_MS;
    if (generation === "ends" || isSecond) this.#current++;
    this.#suspectedAtMs = generation === "suspect" && !isSecond ? nowMs : -Infinity;
  }
}
