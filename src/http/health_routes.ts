/** For those who watch the process: whether it lives, and whether it can serve. */

import { Hono } from "hono";
import { type Database, DeadlineError, sql } from "../db/mod.ts";
import { onlyMethods } from "./only_methods.ts";

export interface HealthOptions {
  /** Longest wait for the database. */
  readonly readyTimeoutMs?: number | undefined;
}

type Sessions = Pick<Database, "session">;

/** `/healthz` and `/readyz`. Needs `provideDatabase` before it. */
export function healthRoutes(
  { readyTimeoutMs = 2_000 }: HealthOptions,
): Hono<{ Variables: { db: Sessions } }> {
  return new Hono<{ Variables: { db: Sessions } }>()
    .get("/healthz", (c) => c.json({ status: "alive" }, 200, NEVER_CACHED))
    .all("/healthz", onlyMethods("GET", "HEAD"))
    .get("/readyz", async (c) => {
      await within(
        readyTimeoutMs,
        (signal) => ping(c.var.db, { signal, timeoutMs: readyTimeoutMs }),
      );
      return c.json({ status: "ready" }, 200, NEVER_CACHED);
    })
    .all("/readyz", onlyMethods("GET", "HEAD"));
}

const NEVER_CACHED = { "Cache-Control": "no-store" };

/** Goes through the pool, as requests do: a full pool is not ready. */
async function ping(
  db: Sessions,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<void> {
  await using session = db.session({
    readOnly: true,
    statementTimeoutMs: timeoutMs,
    signal,
  });
  await session.commit([sql`select 1`]);
}

/** Holds even if `work` does not heed its signal. */
async function within(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new DeadlineError(
      `Cannot call the service ready as the database did not answer: current limit is ${timeoutMs} ms`,
    );
    controller.abort(error);
    reject(error);
  }, timeoutMs);
  try {
    await Promise.race([work(controller.signal), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
