import { type Database, sql, trustedSql } from "../db/mod.ts";

/** One step of the schema, applied once and as a whole. */
export interface Migration {
  /** Its number and subject, as its file is called. The `migrations` table keeps it. */
  readonly name: string;
  /** Sent one by one: the extended query protocol takes one statement in each message. */
  readonly statements: readonly string[];
}

/** Any number that nothing else in the database locks. */
const LOCK_KEY = 7_305_814_226_510_113n;

/** Building an index may take longer than a request's statement. */
const STATEMENT_TIMEOUT_MS = 3_600_000;

/**
 * Applies the migrations that are missing, in their order, in one transaction: all or none. A second caller waits for
 * the first, and then finds nothing to do.
 */
export async function applyMigrations(
  db: Database,
  wanted: readonly Migration[],
): Promise<string[]> {
  return await db.transaction(async (session) => {
    await session.query(sql`select pg_advisory_xact_lock(${LOCK_KEY})`);
    // After the lock, and seen by a new snapshot: who came second must see what the first has done.
    await session.query(sql`
      create table if not exists migrations (
        name text primary key,
        applied_at timestamptz not null default now()
      )`);
    const done = await session.query(sql<{ name: string }>`select name from migrations`);
    const known = new Set(done.map(({ name }) => name));
    const missing = wanted.filter(({ name }) => !known.has(name));
    for (const { name, statements } of missing) {
      await session.batch([
        ...statements.map((text) => trustedSql(text)),
        sql`insert into migrations (name) values (${name})`,
      ]);
    }
    await session.commit();
    return missing.map(({ name }) => name);
  }, {
    isolation: "read committed",
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: STATEMENT_TIMEOUT_MS,
    transactionTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
}
