/** What `deno task capacity` is asked: a load, the instances in front of a database, and the database. */

/** What one unit costs. All times in milliseconds. */
export interface UnitCost {
  /** CPU time of the service's thread. */
  readonly serviceMs: number;
  /** CPU time of the server. */
  readonly databaseMs: number;
  /** Time in which the server waits and computes nothing, such as for the disk at a COMMIT. */
  readonly diskMs: number;
}

export interface CapacityPlan {
  /** Requests a second, of all instances together. Each is one unit of work of one round trip. */
  readonly perSecond: number;
  /** Share of the requests that write. */
  readonly writes: number;
  /** From the service to the database, one way. */
  readonly latencyMs: number;
  /** What a round trip takes longer than that: the average, of an exponential distribution. */
  readonly jitterMs: number;
  /** Pools: processes, or Durable Objects. Each has one thread. */
  readonly instances: number;
  /** `DATABASE_POOL_SIZE` and `DATABASE_MAX_OVERFLOW` of each. */
  readonly size: number;
  readonly overflow: number;
  /** Connections that the database, or the pooler in front of it, gives to the service. */
  readonly maxConnections: number;
  /** Server connections of a pooler in transaction mode; `undefined` without one. */
  readonly serverConnections: number | undefined;
  /** Cores of the database. */
  readonly cores: number;
  readonly read: UnitCost;
  readonly write: UnitCost;
}

/** By `deno task bench` on two virtual cores; the disk's time is a guess for a cloud's SSD. */
export const MEASURED_COSTS: Pick<CapacityPlan, "read" | "write"> = {
  read: { serviceMs: 0.1, databaseMs: 0.03, diskMs: 0 },
  write: { serviceMs: 0.15, databaseMs: 0.09, diskMs: 1 },
};

/** What a connect takes, in round trips: TCP, TLS 1.3, the WebSocket's upgrade, the login by SCRAM. */
export const CONNECT_ROUND_TRIPS = 6;

/** The share of a unit's CPU time that the service takes until the flight is sent. */
export const BEFORE_FLIGHT = 0.5;

/** What a refused request costs the service, as a share of a read. */
export const REFUSAL = 0.7;

/** The average of reads and writes. */
export function averageOf(plan: CapacityPlan, key: keyof UnitCost): number {
  return plan.read[key] * (1 - plan.writes) + plan.write[key] * plan.writes;
}

/** How long a unit holds its connection while nothing queues. */
export function useMs(plan: CapacityPlan): number {
  return 2 * plan.latencyMs + plan.jitterMs + averageOf(plan, "databaseMs") +
    averageOf(plan, "diskMs") +
    averageOf(plan, "serviceMs") * (1 - BEFORE_FLIGHT);
}
