/** Looks at the pool's backends past the pool, and terminates one of them at a time. */
import { type Connection, NeonDriver } from "../../src/db/mod.ts";
import { sleep } from "../../src/db/time/timeout.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import type { Env } from "../support/branch.ts";

export interface ReaperOptions {
  /** Of somebody who may terminate others. */
  readonly adminEnv: Env;
  readonly everyMs: number;
  readonly random: () => number;
}

/** What the server shows of the pool: those that are half open, or about to end, are backends too. */
const POOLS_BACKENDS = `select pid from pg_stat_activity
  where application_name = 'user-service' and datname = current_database()`;

export class Reaper implements AsyncDisposable {
  /** Looks at `pg_stat_activity`. */
  looks = 0;
  /** The most backends that one look has seen. */
  most = 0;
  /** Backends that were there to be terminated. */
  kills = 0;
  readonly #connection: Connection;
  readonly #options: ReaperOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  static async start(options: ReaperOptions): Promise<Reaper> {
    const { database } = parseSettings(options.adminEnv);
    const driver = new NeonDriver({ ...database, applicationName: "reaper" });
    return new Reaper(await driver.connect({ timeoutMs: 10_000 }), options);
  }

  private constructor(connection: Connection, options: ReaperOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#done = this.#reap();
    // Told by `stop`.
    this.#done.catch(() => {});
  }

  /** Ends the killing. Rejects if it has failed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** How many backends the server shows. */
  async look(): Promise<number> {
    return (await this.#backends()).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
    await this.#connection.close({ timeoutMs: 5_000 });
  }

  async #reap(): Promise<void> {
    const { everyMs, random } = this.#options;
    let waitMs = everyMs;
    while (await sleep(waitMs, this.#stop)) {
      const startedMs = performance.now();
      const pids = await this.#backends();
      const victim = pids[Math.floor(random() * pids.length)];
      if (victim !== undefined) await this.#kill(victim);
      waitMs = Math.max(0, everyMs - (performance.now() - startedMs));
    }
  }

  async #kill(pid: number): Promise<void> {
    const [row] = await this.#ask(`select pg_terminate_backend(${pid}) as done`);
    if (row?.["done"] === true) this.kills++;
  }

  async #backends(): Promise<number[]> {
    const pids = (await this.#ask(POOLS_BACKENDS)).map(({ pid }) => pid as number);
    this.looks++;
    this.most = Math.max(this.most, pids.length);
    return pids;
  }

  async #ask(text: string): Promise<Record<string, unknown>[]> {
    const { results, error } = await this.#connection.flight([{ text, values: [] }]);
    if (error !== undefined) throw error;
    return results[0]?.rows ?? [];
  }
}
