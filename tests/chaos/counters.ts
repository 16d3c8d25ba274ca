/** What a host's databases have counted. */
import type { UnitStats } from "../../src/db/mod.ts";

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

export function countersOf({ replayed, retried, resolved, unknown }: UnitStats): Counters {
  const again = Object.values(retried).reduce((all, times) => all + times, 0);
  return { replayed, retried: again, settled: resolved, unknown };
}
