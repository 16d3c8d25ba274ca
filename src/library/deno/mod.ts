/** Opens a database in a Deno process. */
import { Database, type DatabaseOptions, type LeakOptions, OwnerScope } from "../../db/mod.ts";
import { completesWithin } from "../../db/time/timeout.ts";
import { databaseOptions } from "../create_database.ts";
import type { DatabaseConfig, ReplicasConfig } from "../database_config.ts";
import { createReplicas } from "../replicas.ts";
import { BackgroundTasks } from "./background_tasks.ts";
import { denoSockets } from "./sockets.ts";

export {
  DATABASE_DEFAULTS,
  type DatabaseConfig,
  type PoolConfig,
  type ReplicasConfig,
} from "../database_config.ts";
export type { HttpMode } from "../sql_endpoint.ts";
export type { Transport } from "../transport.ts";

/** A database of a Deno process, and what the process is told of it. */
export interface OpenDatabaseOptions extends DatabaseConfig, Pick<DatabaseOptions, "observer"> {
  /** Servers that answer the reads that let them, by `SessionOptions.replica`. None by default. */
  readonly replicas?: ReplicasConfig | undefined;
  /** Called for each connection that is leased for longer than `pool.leakThresholdMs`. */
  readonly onLeak?: LeakOptions["onLeak"] | undefined;
  /** Called with each failure of work that no caller awaits, such as a hook of `afterCommit`. `console.error` by default. */
  readonly onBackgroundError?: ((error: unknown) => void) | undefined;
}

/** How long `close` lets sessions and background work finish. */
const CLOSE_TIMEOUT_MS = 5_000;

/** A database whose sockets belong to the process. `await using` closes it. */
export class OpenDatabase extends Database implements AsyncDisposable {
  readonly #tasks: BackgroundTasks;

  /** Use `openDatabase`. */
  constructor(options: DatabaseOptions, tasks: BackgroundTasks) {
    super(options, { scope: OwnerScope.lasting(), waitUntil: tasks.waitUntil });
    this.#tasks = tasks;
  }

  /** Resolves when no work is left that no caller awaits, such as hooks of `afterCommit`. */
  backgroundIdle(): Promise<void> {
    return this.#tasks.drain();
  }

  /**
   * Lets background work and open sessions finish for `timeoutMs`, 5 seconds by default, then closes their connections.
   * Sessions that open after that are refused with `PoolClosedError`. Resolves when all sockets are closed.
   */
  override async close(
    { timeoutMs = CLOSE_TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): Promise<void> {
    const endsAt = performance.now() + timeoutMs;
    await completesWithin(this.backgroundIdle(), timeoutMs);
    await super.close({ timeoutMs: Math.max(0, endsAt - performance.now()) });
  }

  /** The same as `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a database with a pool for the whole process. It connects with the first statement, not before. Throws
 * `TypeError` for an option that cannot be used, and `RangeError` for a number that is not in its range.
 *
 * ```ts
 * await using db = openDatabase({ url: Deno.env.get("DATABASE_URL")! });
 * ```
 */
export function openDatabase(
  { onLeak, observer, onBackgroundError = console.error, replicas, ...config }: OpenDatabaseOptions,
): OpenDatabase {
  const runtime = { ...denoSockets, onLeak };
  const primary = databaseOptions(config, { ...runtime, observer });
  const options = {
    ...primary,
    replicas: replicas && createReplicas(primary.pool, config, replicas, runtime),
  };
  return new OpenDatabase(options, new BackgroundTasks(onBackgroundError));
}
