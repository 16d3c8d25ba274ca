/** What a host's databases have counted. */
import type { DatabaseStats } from "../../src/db/mod.ts";

export interface Counters {
  /** First flights that were sent again, as their connections had died while they were idle. */
  readonly replayed: number;
  /** Units that were run again. */
  readonly retried: number;
  /** Lost COMMITs whose outcome was found out. */
  readonly settled: number;
  /** And those where it was not. */
  readonly unknown: number;
}

export const NO_COUNTERS: Counters = { replayed: 0, retried: 0, settled: 0, unknown: 0 };

/** What is not counted yet is 0. */
export function countersOf(stats: DatabaseStats & Partial<Counters>): Counters {
  const { replayed = 0, retried = 0, settled = 0, unknown = 0 } = stats;
  return { replayed, retried, settled, unknown };
}

export function sum(one: Counters, other: Counters): Counters {
  return {
    replayed: one.replayed + other.replayed,
    retried: one.retried + other.retried,
    settled: one.settled + other.settled,
    unknown: one.unknown + other.unknown,
  };
}
