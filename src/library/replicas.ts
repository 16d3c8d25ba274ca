/** The replicas of a database, each with a pool of its own. */
import { type Pool, Replicas, systemClock } from "../db/mod.ts";
import { assertLimits, TIMER } from "../db/time/limits.ts";
import { createServer } from "./create_database.ts";
import { serverAddress } from "./database_address.ts";
import { replicaProblem } from "./replica_places.ts";
import {
  DATABASE_DEFAULTS,
  type DatabaseConfig,
  REPLICAS_DEFAULTS,
  type ReplicasConfig,
} from "./database_config.ts";

/** A read that gets no connection to a replica within this time goes to the primary. The connect goes on. */
const ACQUIRE_TIMEOUT_MS = 500;

/**
 * Throws `RangeError` for a bad staleness, `TypeError` for a replica that is the primary or another replica, and as
 * `createDatabase` does.
 */
export function createReplicas(
  primary: Pool,
  config: DatabaseConfig,
  { urls, maxStalenessMs = REPLICAS_DEFAULTS.maxStalenessMs }: ReplicasConfig,
  runtime: Parameters<typeof createServer>[1],
): Replicas {
  assertLimits("read from replicas", { maxStalenessMs }, { maxStalenessMs: TIMER });
  const { acquireTimeoutMs = DATABASE_DEFAULTS.pool.acquireTimeoutMs } = config.pool ?? {};
  const pool = {
    ...config.pool,
    acquireTimeoutMs: Math.min(acquireTimeoutMs, ACQUIRE_TIMEOUT_MS),
  };
  const servers = urls.map((url) => ({
    ...createServer({ ...config, url, pool }, runtime),
    address: serverAddress(url),
  }));
  const problem = replicaProblem(config.url, urls);
  if (problem !== undefined) {
    throw new TypeError(
      `Cannot use replica ${problem.replica} as ${problem.reason}: current value is hidden; ${problem.wayOut}`,
    );
  }
  return new Replicas({
    primary,
    servers,
    maxStalenessMs,
    clock: systemClock,
    random: Math.random,
  });
}
