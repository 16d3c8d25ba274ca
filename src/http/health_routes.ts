/** Health checks: `/healthz` for liveness, `/readyz` for readiness. */

import { Hono } from "hono";
import { type Database, DeadlineError, sql } from "../db/mod.ts";
import { onlyMethods } from "./only_methods.ts";

export interface HealthOptions {
  /** Longest wait of `/readyz` for the database. */
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
      await withTimeout(
        readyTimeoutMs,
        (signal) => ping(c.var.db, { signal, timeoutMs: readyTimeoutMs }),
      );
      return c.json({ status: "ready" }, 200, NEVER_CACHED);
    })
    .all("/readyz", onlyMethods("GET", "HEAD"));
}

const NEVER_CACHED = { "Cache-Control": "no-store" };

/** Takes a connection from the pool, as requests do, so that a full pool counts as not ready. */
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

/** Rejects with `DeadlineError` after `timeoutMs`, even if `work` ignores its signal. */
async function withTimeout(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new DeadlineError(
      `Cannot report the service as ready as the database did not answer in time: current limit is ${timeoutMs} ms`,
    );
    controller.abort(error);
    reject(error);
  }, timeoutMs);
  try {
    await Promise.race([work(controller.signal), timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
