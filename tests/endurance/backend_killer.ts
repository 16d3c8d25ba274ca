/** Lists the pool's backends on a connection of its own, and terminates one of them at a time. */
import { type Connection, NeonDriver } from "../../src/db/mod.ts";
import { sleep } from "../../src/db/time/timeout.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import type { Env } from "../support/branch.ts";
import { pick, type Random } from "./random.ts";

export interface BackendKillerOptions {
  /** Settings of a role that may terminate other roles' backends. */
  readonly adminEnv: Env;
  readonly everyMs: number;
  /** Asked before each kill. Where kills wait for progress, a slow machine makes progress as well. */
  readonly mayKill?: (kills: number) => boolean;
  readonly random: Random;
}

/** Includes backends that are still logging in and backends that are about to end. */
const BACKENDS_OF_THE_POOL = `select pid from pg_stat_activity
  where application_name = 'user-service' and datname = current_database()`;

export class BackendKiller implements AsyncDisposable {
  /** The most backends in one listing. */
  most = 0;
  /** Backends that were still there when they were terminated. */
  kills = 0;
  readonly #connection: Connection;
  readonly #options: BackendKillerOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  static async start(options: BackendKillerOptions): Promise<BackendKiller> {
    const { database } = parseSettings(options.adminEnv);
    const driver = new NeonDriver({ ...database, applicationName: "backend-killer" });
    return new BackendKiller(await driver.connect({ timeoutMs: 10_000 }), options);
  }

  private constructor(connection: Connection, options: BackendKillerOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#done = this.#kill();
    // `stop` rejects with the same error.
    this.#done.catch(() => {});
  }

  /** Stops terminating. Rejects if it has failed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** How many backends the server lists now. */
  async count(): Promise<number> {
    return (await this.#list()).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
    await this.#connection.close({ timeoutMs: 5_000 });
  }

  async #kill(): Promise<void> {
    const { everyMs, mayKill = () => true, random } = this.#options;
    let waitMs = everyMs;
    while (await sleep(waitMs, this.#stop)) {
      const startedMs = performance.now();
      const pid = mayKill(this.kills) ? pick(await this.#list(), random) : undefined;
      if (pid !== undefined) {
        const [row] = await this.#query(`select pg_terminate_backend(${pid}) as done`);
        if (row?.["done"] === true) this.kills++;
      }
      waitMs = Math.max(0, everyMs - (performance.now() - startedMs));
    }
  }

  async #list(): Promise<number[]> {
    const pids = (await this.#query(BACKENDS_OF_THE_POOL)).map(({ pid }) => pid as number);
    this.most = Math.max(this.most, pids.length);
    return pids;
  }

  async #query(text: string): Promise<Record<string, unknown>[]> {
    const { results, error } = await this.#connection.flight([{ text, values: [] }]);
    if (error !== undefined) throw error;
    return results[0]?.rows ?? [];
  }
}
