import { type Database, sql } from "../../src/db/mod.ts";
import { type Env, runAlone } from "../support/branch.ts";

/** Times are those of `performance.now()`. */
export interface Call {
  readonly atMs: number;
  readonly endMs: number;
  /** `served`, or the error's name. */
  readonly outcome: string;
}

/** Reads at a steady pace, however long each takes. */
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

  /** Resolves once `count` calls that start from now on have been served. */
  served(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const sinceMs = performance.now();
    let left = count;
    this.#onServed = (atMs) => {
      if (atMs >= sinceMs && --left === 0) resolve();
    };
    return promise;
  }

  /** Starts no further calls, and resolves when all have ended. */
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

/** Tries again until a login succeeds: a server that starts refuses them. */
export async function firstLogin(env: Env): Promise<void> {
  for (;;) {
    try {
      await runAlone(env, "select 1");
      return;
    } catch (error) {
      if ((error as Error).name !== "ConnectError") throw error;
    }
  }
}
