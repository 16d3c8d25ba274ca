/** The replicas of a database, each with a pool of its own. */
import { type Pool, Replicas, systemClock } from "../db/mod.ts";
import { createServer } from "./create_database.ts";
import { databaseAddress, serverAddress } from "./database_address.ts";
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
  const servers = urls.map((url) => ({
    ...createServer({ ...config, url, pool }, runtime),
    address: serverAddress(url),
  }));
  assertDistinct([config.url, ...urls]);
  return new Replicas({
    primary,
    servers,
    maxStalenessMs,
    clock: systemClock,
    random: Math.random,
  });
}

/** Of the primary and the replicas. A primary answers no read as a replica, so that each would go there twice. */
function assertDistinct(urls: readonly string[]): void {
  const places = urls.map(placeOf);
  for (const [index, place] of places.entries()) {
    const first = places.indexOf(place);
    if (first === index) continue;
    throw new TypeError(
      `Cannot use replica ${index} as it is ${first === 0 ? "the primary" : `replica ${first}`}: ` +
        "current value is hidden; name a standby of its own, or leave it out",
    );
  }
}

/** The database that a URL leads to, whoever logs in. Of one pooler, each database may be on another server. */
function placeOf(url: string): string {
  const { host, port, socketPath } = databaseAddress(url);
  return JSON.stringify([socketPath ?? host.toLowerCase(), port, new URL(url).pathname]);
}
