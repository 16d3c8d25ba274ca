import { type Database, sql } from "../../src/db/mod.ts";

export interface Call {
  readonly atMs: number;
  /** `Infinity` until it has ended. */
  readonly endMs: number;
  /** `served`, or the error's name. */
  readonly outcome: string;
}

/** A caller at a steady pace, whatever has become of those before, each with a read in one flight. */
export class Callers {
  readonly calls: Call[] = [];
  readonly #db: Database;
  readonly #running = new Set<Promise<void>>();
  readonly #timer: ReturnType<typeof setInterval>;
  #onServed: (atMs: number) => void = () => {};

  constructor(db: Database, everyMs: number) {
    this.#db = db;
    this.#timer = setInterval(() => {
      const running = this.#call().finally(() => this.#running.delete(running));
      this.#running.add(running);
    }, everyMs);
  }

  /** Resolves once so many who came after now have been served. */
  served(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const sinceMs = performance.now();
    let left = count;
    this.#onServed = (atMs) => {
      if (atMs >= sinceMs && --left === 0) resolve();
    };
    return promise;
  }

  /** Nobody comes any more; resolves when all have been answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #call(): Promise<void> {
    const atMs = performance.now();
    let outcome = "served";
    try {
      await this.#db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
    } catch (error) {
      outcome = (error as Error).name;
    }
    this.calls.push({ atMs, endMs: performance.now(), outcome });
    if (outcome === "served") this.#onServed(atMs);
  }
}
