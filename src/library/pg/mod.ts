/**
 * A pool in the shape of node-postgres's, so that libraries that take a `Pool` of `pg` run on this layer's connections.
 * Needs neither `pg` nor Node's modules.
 */
import type { Database } from "../../db/mod.ts";
import { PgPool, type PgPoolOptions } from "./pool.ts";

export { pgTypes } from "../../db/neon/pg_types.ts";
export type { PgCallback, PgClient, PgText } from "./client.ts";
export type { Emitter, Listener } from "../emitter.ts";
export type { PgField, PgQuery, PgResult, PgTypes } from "./query.ts";
export type { ConnectCallback, PgPool, PgPoolOptions } from "./pool.ts";

/**
 * Returns a pool for a library that takes node-postgres's `Pool`. On Workers, make one for each request, of
 * `databases.forRequest(ctx, request)`.
 *
 * A query of the pool is one statement that the server commits; a client of `connect()` runs the library's own BEGIN and
 * COMMIT. Either way the layer's bounds hold: the pool's limit and queue, and the database's timeouts, also those of a
 * transaction. What is lost: nothing is run again, a lost COMMIT is not looked up (`CommitOutcomeUnknownError`), and
 * there is no `afterCommit`. Not supported: LISTEN, COPY with a stream, and query objects that speak the protocol, such
 * as those of pg-cursor.
 *
 * For TypeScript, `pgPool<pg.Pool>(db)` has the type that the library's declarations ask for, which names more than this
 * pool has.
 */
export function pgPool<Pool = PgPool>(
  db: Pick<Database, "connect" | "stats">,
  options: PgPoolOptions = {},
): Pool {
  return new PgPool(db, options) as Pool;
}
