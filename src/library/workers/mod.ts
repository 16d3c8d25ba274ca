/** Databases for requests and Durable Objects on Cloudflare Workers. */
import {
  type Database,
  type DatabaseOptions,
  type DatabaseStats,
  type DatabaseTotals,
  type LeakOptions,
  OwnerScope,
  type PoolView,
} from "../../db/mod.ts";
import { createDatabase } from "../create_database.ts";
import type { DatabaseConfig } from "../database_config.ts";
import { workersSockets } from "./sockets.ts";
import { RequestLifetime, type WorkerContext } from "./request_lifetime.ts";

export { DATABASE_DEFAULTS, type DatabaseConfig, type PoolConfig } from "../database_config.ts";
export type { HttpMode } from "../sql_endpoint.ts";
export type { Transport } from "../transport.ts";
export type { WorkerContext } from "./request_lifetime.ts";
export {
  isOverloaded,
  type ObjectNamespace,
  type ObjectStub,
  type ShardFetchOptions,
  Shards,
  type ShardsOptions,
} from "./shards.ts";

/** A database, and what the Worker is told of it. */
export interface DatabasesOptions extends DatabaseConfig, Pick<DatabaseOptions, "observer"> {
  /** Called for each connection that is leased for longer than `pool.leakThresholdMs`. */
  readonly onLeak?: LeakOptions["onLeak"] | undefined;
  /** Called with each failure of work that no caller awaits, such as a hook of `afterCommit`. `console.error` by default. */
  readonly onBackgroundError?: ((error: unknown) => void) | undefined;
}

/**
 * One database for all requests of an isolate. They share its limit, its queue and its retry budget; sockets belong to
 * the request that opened them, as workerd demands.
 */
export class Databases {
  readonly #options: DatabasesOptions;
  /** Made by the first request, since Workers forbid random values in a module's global scope. */
  #shared: Database | undefined;

  /** Use `databases`. */
  constructor(options: DatabasesOptions) {
    this.#options = options;
  }

  /**
   * The database of one request. Its sessions use one connection one after the other, which is closed through
   * `waitUntil` once no session has been open for 20 ms. If the client disconnects, its sessions are aborted. Throws
   * `TypeError` for an option that cannot be used, and `RangeError` for a number that is not in its range.
   */
  forRequest(ctx: WorkerContext, request?: Pick<Request, "signal">): Database {
    const database = this.#database();
    const lifetime = new RequestLifetime(ctx, { end: (scope) => database.endScope(scope) });
    return database.forOwner({
      scope: lifetime.scope,
      signal: request?.signal,
      observer: lifetime.observe(this.#options.observer),
      waitUntil: this.#waitUntil(ctx),
    });
  }

  /**
   * The database of one Durable Object, with a pool of its own that all its requests share. Call it once, in the object's
   * constructor. Throws as `forRequest` does.
   */
  forObject(ctx: WorkerContext): Database {
    const owner = { scope: OwnerScope.lasting(), waitUntil: this.#waitUntil(ctx) };
    return createDatabase(this.#options, { ...this.#options, ...workersSockets, owner });
  }

  /** Counters and histograms of the requests of this isolate, as they are now. Throws as `forRequest` does. */
  stats(): DatabaseStats {
    return this.#database().stats();
  }

  /** `stats()` without the histograms: cheap enough to be read for each request. Throws as `forRequest` does. */
  totals(): DatabaseTotals {
    return this.#database().totals();
  }

  /** The connections and waiting callers of the requests of this isolate, as they are now. Throws as `forRequest` does. */
  inspect(): PoolView {
    return this.#database().inspect();
  }

  #database(): Database {
    return this.#shared ??= createDatabase(this.#options, {
      ...this.#options,
      ...workersSockets,
      opensPerRequest: true,
    });
  }

  #waitUntil(ctx: WorkerContext): (promise: Promise<void>) => void {
    const { onBackgroundError = console.error } = this.#options;
    return (promise) => ctx.waitUntil(promise.catch(onBackgroundError));
  }
}

/**
 * Describes a database, at module level. Opens nothing: each request takes its own by `forRequest`.
 *
 * ```ts
 * const database = databases({ url: env.DATABASE_URL });
 *
 * export default {
 *   async fetch(request, env, ctx) {
 *     const db = database.forRequest(ctx, request);
 *     …
 * ```
 */
export function databases(options: DatabasesOptions): Databases {
  return new Databases(options);
}
