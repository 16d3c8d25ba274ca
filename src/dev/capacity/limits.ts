/** How many requests a second each part can take, by arithmetic alone. */
import { averageOf, type CapacityPlan, connectionMs } from "./plan.ts";

export interface Limit {
  readonly name: string;
  /** Requests a second at which it is used up. */
  readonly perSecond: number;
  /** What to do if it is too little. */
  readonly wayOut: string;
}

/** Beyond this share queues grow long, and nothing is left for a failed instance or a burst. */
export const SAFE_SHARE = 0.7;

/** The lowest first. */
export function limitsOf(plan: CapacityPlan): Limit[] {
  const { instances, size, overflow, cores, serverConnections } = plan;
  const permits = Math.min(instances * (size + overflow), plan.maxConnections);
  const databaseMs = averageOf(plan, "databaseMs");
  const limits = [
    {
      name: "CPU of the service",
      perSecond: instances * 1_000 / averageOf(plan, "serviceMs"),
      wayOut: "run more instances",
    },
    {
      name: "connections",
      perSecond: permits * 1_000 / connectionMs(plan),
      wayOut: permits === plan.maxConnections
        ? "put a pooler in transaction mode in between, or raise max_connections"
        : "raise DATABASE_POOL_SIZE or DATABASE_MAX_OVERFLOW",
    },
    {
      name: "CPU of the database",
      perSecond: cores * 1_000 / databaseMs,
      wayOut: "a larger database, replicas for the reads, or several databases",
    },
  ];
  if (serverConnections !== undefined) {
    limits.push({
      name: "server connections of the pooler",
      perSecond: serverConnections * 1_000 / (databaseMs + averageOf(plan, "diskMs")),
      wayOut: "raise the pooler's default_pool_size",
    });
  }
  return limits.sort((a, b) => a.perSecond - b.perSecond);
}

/** Instances and permits that the load needs. */
export interface Needs {
  readonly instances: number;
  /** Of each instance, by its size and overflow together. */
  readonly permits: number;
  /** Of the database. */
  readonly cores: number;
  /** Of a pooler in transaction mode, if there is one. */
  readonly serverConnections: number;
}

export function needsOf(plan: CapacityPlan): Needs {
  const { perSecond } = plan;
  const instances = ceil(perSecond * averageOf(plan, "serviceMs") / 1_000 / SAFE_SHARE);
  // By Little's law so many connections are in use. Arrivals at random need room for some more, and few units for most.
  const running = perSecond * connectionMs(plan) / 1_000 / Math.max(instances, plan.instances);
  return {
    instances,
    permits: ceil(Math.max(running / SAFE_SHARE, running + 3 * Math.sqrt(running))),
    cores: ceil(perSecond * averageOf(plan, "databaseMs") / 1_000 / SAFE_SHARE),
    serverConnections: ceil(
      perSecond * (averageOf(plan, "databaseMs") + averageOf(plan, "diskMs")) / 1_000 / SAFE_SHARE,
    ),
  };
}

function ceil(value: number): number {
  return Math.max(1, Math.ceil(value));
}
