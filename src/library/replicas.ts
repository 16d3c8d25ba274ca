/** The replicas of a database, each with a pool of its own. */
import { type Pool, Replicas, systemClock } from "../db/mod.ts";
import { createServer } from "./create_database.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig } from "./database_config.ts";

/** Streaming standbys of the database, or read replicas of Neon's. */
export interface ReplicasConfig {
  /** Of the form of `DatabaseConfig.url`. They are reached as the primary is, with the same bounds for each pool. */
  readonly urls: readonly string[];
  /** A replica that may be further behind does not answer, in milliseconds; 10 seconds by default. */
  readonly maxStalenessMs?: number | undefined;
}

/** What `ReplicasConfig` leaves out. */
export const REPLICAS_DEFAULTS = { maxStalenessMs: 10_000 } as const;

/** A read that gets no connection to a replica within this time goes to the primary. The connect goes on. */
const ACQUIRE_TIMEOUT_MS = 500;

/** Throws `RangeError` for a bad staleness, and as `createDatabase` does. */
export function createReplicas(
  primary: Pool,
  config: DatabaseConfig,
  { urls, maxStalenessMs = REPLICAS_DEFAULTS.maxStalenessMs }: ReplicasConfig,
  runtime: Parameters<typeof createServer>[1],
): Replicas {
  if (!(maxStalenessMs > 0 && maxStalenessMs < Infinity)) {
    throw new RangeError(
      `Cannot read from replicas as 'maxStalenessMs' must be above 0 and finite: current value is ${maxStalenessMs}`,
    );
  }
  const { acquireTimeoutMs } = { ...DATABASE_DEFAULTS.pool, ...config.pool };
  const pool = {
    ...config.pool,
    acquireTimeoutMs: Math.min(acquireTimeoutMs, ACQUIRE_TIMEOUT_MS),
  };
  const servers = urls.map((url) => createServer({ ...config, url, pool }, runtime));
  return new Replicas({
    primary,
    servers,
    maxStalenessMs,
    clock: systemClock,
    random: Math.random,
  });
}
