/** What `deno task capacity` is asked: a load, the instances in front of a database, and the database. */
import { longestLine, type ReadDepth } from "../../db/pool/read_times.ts";

/** What one unit costs. All times in milliseconds. */
export interface UnitCost {
  /** CPU time of the service's thread. */
  readonly serviceMs: number;
  /** CPU time of the server. */
  readonly databaseMs: number;
  /** Time in which the server waits and computes nothing, such as for the disk at a COMMIT. */
  readonly diskMs: number;
}

/** Times of which each is as likely as any other: measured ones, or those of a distribution. */
export type Times = readonly number[];

/** For the garbage of requests, or for another program that has the processor. */
export interface Pauses {
  /** How many an instance makes for each request. */
  readonly perRequest: number;
  readonly lengthsMs: Times;
  /** What one takes longer for each request in progress, whose objects the collector copies. */
  readonly perConcurrentMs: number;
}

export interface CapacityPlan {
  /** Requests a second, of all instances together. Each is one unit of work of one round trip. */
  readonly perSecond: number;
  /** Share of the requests that write. */
  readonly writes: number;
  /** From the service to the database, one way. */
  readonly latencyMs: number;
  /** What a round trip takes longer than that. */
  readonly jitterMs: Times;
  /** When an instance does nothing. */
  readonly pauses: Pauses;
  /** CPU time that a thread takes in addition when it has been idle. */
  readonly wakeMs: number;
  /** Pools: processes, or Durable Objects. Each has one thread. */
  readonly instances: number;
  /** `DATABASE_POOL_SIZE` and `DATABASE_MAX_OVERFLOW` of each. */
  readonly size: number;
  readonly overflow: number;
  /** `DATABASE_READ_DEPTH`. Behind a pooler no reads share a connection. */
  readonly readDepth: ReadDepth;
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

/**
 * The share until the pool has admitted a unit, or until its refusal is sent: 90 of 300 µs of a read, at 20 ms and four
 * times the capacity.
 */
export const ADMISSION = 0.3;

const QUANTILES = 200;

/** An exponential distribution; none for an average of 0. */
export function exponentialTimes(averageMs: number): Times {
  return Array.from(
    { length: averageMs === 0 ? 0 : QUANTILES },
    (_, k) => -averageMs * Math.log(1 - (k + 0.5) / QUANTILES),
  );
}

function averageMs(times: Times): number {
  return times.reduce((sum, ms) => sum + ms, 0) / Math.max(1, times.length);
}

/** The average of reads and writes. */
export function averageOf(plan: CapacityPlan, key: keyof UnitCost): number {
  return plan.read[key] * (1 - plan.writes) + plan.write[key] * plan.writes;
}

/** Most reads behind one another on a connection. Only those on a direct connection share it. */
export function depthOf({ readDepth, serverConnections }: CapacityPlan): number {
  return serverConnections === undefined ? longestLine(readDepth) : 1;
}

/**
 * For how long a unit keeps a connection from others, while nothing queues: a write for its round trip, a read for its part
 * of that, if the line behind it is full, and at least for as long as the server works for it.
 */
export function connectionMs(plan: CapacityPlan): number {
  const { read, write, writes } = plan;
  const readMs = Math.max(useMs(plan, read) / depthOf(plan), read.databaseMs + read.diskMs);
  return readMs * (1 - writes) + useMs(plan, write) * writes;
}

/** From its lease to its answer. */
function useMs(
  { latencyMs, jitterMs }: CapacityPlan,
  { serviceMs, databaseMs, diskMs }: UnitCost,
): number {
  return 2 * latencyMs + averageMs(jitterMs) + databaseMs + diskMs +
    serviceMs * (1 - ADMISSION);
}
