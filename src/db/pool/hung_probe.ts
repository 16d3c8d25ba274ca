import type { CircuitBreaker } from "./circuit_breaker.ts";
import type { PoolEntry } from "./pool_entry.ts";

/**
 * The probe whose permit a new one may have when a window is due and no permit is left: the oldest one, but of several
 * the second, since the oldest is kept up to its connect timeout. `undefined` if none may be given up yet, and while an
 * owner has not begun or ended a connect that the pool has asked for.
 */
export function hungProbe(
  entries: Iterable<PoolEntry>,
  breaker: CircuitBreaker,
  nowMs: number,
): PoolEntry | undefined {
  let oldest: PoolEntry | undefined;
  let second: PoolEntry | undefined;
  for (const entry of entries) {
    if (entry.state !== "opening") continue;
    if (entry.pending !== undefined) return undefined;
    if (oldest === undefined) oldest = entry;
    else second ??= entry;
  }
  const probe = second ?? oldest;
  if (probe === undefined) return undefined;
  const isAlone = second === undefined;
  return breaker.mayGiveUp({ sinceMs: probe.bornAt, isAlone }, nowMs) ? probe : undefined;
}
