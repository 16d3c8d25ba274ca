import { type Database, PoolClosedError } from "../db/mod.ts";
import type { Log } from "../ops/log.ts";
import { compareSchema } from "../migrations/schema_state.ts";

/** Longest wait for the database. After it the service has started all the same, and `/readyz` goes on comparing. */
const TIMEOUT_MS = 10_000;

/** Compares the database with this version once, at the start, and logs where they differ. Never rejects. */
export async function reportSchema(db: Pick<Database, "transaction">, log: Log): Promise<void> {
  let state;
  try {
    state = await db.transaction(compareSchema, {
      readOnly: true,
      attempts: 1,
      label: "schema",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    // The service is ending already.
    if (error instanceof PoolClosedError) return;
    const reason = error instanceof Error ? error.message : String(error);
    return log.warn("cannot compare the schema with this version at the start", { reason });
  }
  const { missing, unknown, isUnreadable, unboundRole } = state;
  if (unboundRole !== undefined) {
    log.error(
      "the role of DATABASE_URL sees the rows of all tenants; log in as one that is no superuser and has no BYPASSRLS",
      { role: unboundRole },
    );
  }
  if (missing.length > 0) {
    log.error('migrations are missing; run "deno task migrate" as the owner of the tables', {
      missing,
    });
  }
  if (unknown.length > 0) {
    log.warn("the database has migrations of a newer version of the service", { unknown });
  }
  if (isUnreadable) {
    log.warn("cannot compare the schema with this version; grant select on the table migrations");
  }
}
