import { type Database, sql, trustedSql } from "../db/mod.ts";

/** One change of the schema. Applied once, completely or not at all. */
export interface Migration {
  /** Number and subject, like the file's name. Recorded in the `migrations` table. */
  readonly name: string;
  /** One statement per entry: the extended query protocol accepts one statement per message. */
  readonly statements: readonly string[];
  /** Why a statement is right although its form does not show it: see `NEED_REASON` in `safety.ts`. */
  readonly reason?: string;
  /** What existing rows must not be like. */
  readonly obstacles?: {
    /** Returns one text for each obstacle. */
    readonly select: string;
    readonly wayOut: string;
  };
}

/** Advisory lock of the migrations: an arbitrary number that nothing else in the database uses. */
const LOCK_KEY = 7_305_814_226_510_113n;

/** Building an index may take much longer than the statements of a request. */
const STATEMENT_TIMEOUT_MS = 3_600_000;

/** Existing rows prevent a migration, and only people can tell what should become of them. */
export class MigrationObstructedError extends Error {
  override readonly name = "MigrationObstructedError";

  constructor(migration: string, rows: readonly object[], wayOut: string) {
    const obstacles = rows.flatMap((row) => Object.values(row)).join("; ");
    super(`Cannot apply ${migration} as rows are in its way: ${obstacles}; ${wayOut}`);
  }
}

/**
 * Applies the missing migrations in order, in one transaction: all or none. Returns their names. A concurrent call waits
 * for the first one and then has nothing to do. Throws `MigrationObstructedError`.
 */
export async function applyMigrations(
  db: Database,
  wanted: readonly Migration[],
): Promise<string[]> {
  return await db.transaction(async (session) => {
    await session.query(sql`select pg_advisory_xact_lock(${LOCK_KEY})`);
    // Read after the lock is held. At `read committed` each statement has a new snapshot, so a caller that waited for the
    // lock sees the migrations that the other one applied.
    await session.query(sql`
      create table if not exists migrations (
        name text primary key,
        applied_at timestamptz not null default now()
      )`);
    const done = await session.query(sql<{ name: string }>`select name from migrations`);
    const known = new Set(done.map(({ name }) => name));
    const missing = wanted.filter(({ name }) => !known.has(name));
    for (const { name, statements, obstacles } of missing) {
      if (obstacles !== undefined) {
        const rows = await session.query(trustedSql(obstacles.select));
        if (rows.length > 0) throw new MigrationObstructedError(name, rows, obstacles.wayOut);
      }
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
