/** How the time from the first signal to the exit of `deno task dev` is divided. */
export interface ShutdownBudget {
  readonly totalMs: number;
  /** Time for the service to finish its requests. */
  readonly serviceMs: number;
  /** Time between the deadline that a process was given and the moment it is killed. */
  readonly graceMs: number;
}

const defaultSeconds = 5;

/**
 * Divides `SHUTDOWN_TIMEOUT` (in seconds, default 5): the relay and PostgreSQL get one second of it, or half of a
 * timeout under two seconds, and the service gets the rest. For an invalid value it uses the default, because the
 * service's settings refuse that value.
 */
export function shutdownBudget(timeout: string | undefined): ShutdownBudget {
  const seconds = Number(timeout || defaultSeconds);
  const totalMs = 1_000 * (seconds >= 0 && seconds <= 3_600 ? seconds : defaultSeconds);
  return { totalMs, serviceMs: Math.max(totalMs - 1_000, totalMs / 2), graceMs: totalMs / 50 };
}
