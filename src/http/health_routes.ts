/** Health checks: `/healthz` for liveness, `/readyz` for readiness. */

import { Hono } from "../hono.ts";
import { type Database, DeadlineError } from "../db/mod.ts";
import { compareSchema, type SchemaState } from "../migrations/schema_state.ts";
import { onlyMethods } from "./only_methods.ts";
import { ProblemError } from "./problem.ts";

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
    .get("/healthz", (c) => c.json({ status: "alive" }))
    .all("/healthz", onlyMethods("GET", "HEAD"))
    .get("/readyz", async (c) => {
      const { missing, unknown, unboundRole } = await withTimeout(
        readyTimeoutMs,
        (signal) => ask(c.var.db, { signal, timeoutMs: readyTimeoutMs }),
      );
      if (missing.length > 0) throw migrationsMissing(missing);
      if (unboundRole !== undefined) throw policiesBypassed();
      const newer = unknown.length === 0 ? {} : { newerMigrations: unknown };
      return c.json({ status: "ready", ...newer });
    })
    .all("/readyz", onlyMethods("GET", "HEAD"));
}

/**
 * Takes a connection from the pool, as requests do, so that a full pool counts as not ready. Its one statement reads
 * which migrations were applied: a service without its tables answers requests by errors.
 */
async function ask(
  db: Sessions,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<SchemaState> {
  await using session = db.session({
    readOnly: true,
    statementTimeoutMs: timeoutMs,
    signal,
  });
  return await compareSchema(session);
}

function migrationsMissing(missing: readonly string[]): ProblemError {
  return new ProblemError("migrations-missing", {
    detail: `Cannot serve as the database lacks migrations: ${missing.join(", ")}; ` +
      'run "deno task migrate" as the owner of the tables',
    headers: { "Retry-After": "5" },
  });
}

function policiesBypassed(): ProblemError {
  return new ProblemError("policies-bypassed", {
    detail: "Cannot serve as the role of DATABASE_URL sees the rows of all tenants; " +
      "log in as a role that is no superuser and has no BYPASSRLS",
    headers: { "Retry-After": "5" },
  });
}

/** Rejects with `DeadlineError` after `timeoutMs`, even if `work` ignores its signal. */
async function withTimeout<T>(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
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
    return await Promise.race([work(controller.signal), timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
