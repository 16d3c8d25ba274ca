/** How the time from the first signal to our exit is shared. */
export interface ShutdownBudget {
  readonly totalMs: number;
  /** For the service to finish its requests. */
  readonly serviceMs: number;
  /** Between a deadline somebody was given and our doing without them. */
  readonly graceMs: number;
}

const defaultSeconds = 5;

/**
 * Leaves a second of `SHUTDOWN_TIMEOUT` (in seconds, default 5) to the relay and PostgreSQL, or
 * half of one under two. A value that can't be read is the settings' to refuse.
 */
export function shutdownBudget(timeout: string | undefined): ShutdownBudget {
  const seconds = Number(timeout || defaultSeconds);
  const totalMs = 1_000 * (seconds >= 0 && seconds <= 3_600 ? seconds : defaultSeconds);
  return { totalMs, serviceMs: Math.max(totalMs - 1_000, totalMs / 2), graceMs: totalMs / 50 };
}
