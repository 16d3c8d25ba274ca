/** `deno task migrate`: brings the tables of any `DATABASE_URL` up to date, as the role that owns them. */
import { type Database, OwnerScope, sql, trustedSql } from "../db/mod.ts";
import { DatabaseWebSocket } from "../deno_websocket.ts";
import { openDatabase } from "../open_database.ts";
import { parseSettings } from "../settings.ts";
import { migrations as queueMigrations } from "../queue/migrations.ts";
import { type Migration, migrations as usersMigrations } from "../users/migrations.ts";

/** Applies what is missing and returns the names. Throws `SettingsError` and database errors; then nothing was changed. */
export async function migrate(
  env: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const rest: Promise<void>[] = [];
  const db = openDatabase(parseSettings(env), {
    scope: OwnerScope.lasting(),
    defer: (promise) => rest.push(promise),
    webSocketConstructor: DatabaseWebSocket,
  });
  try {
    return await applyMigrations(db, [...usersMigrations, ...queueMigrations]);
  } finally {
    await Promise.all(rest);
    await db.close({ timeoutMs: 0 });
  }
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

if (import.meta.main) {
  try {
    const applied = await migrate(Deno.env.toObject());
    console.log(
      applied.length === 0
        ? "Nothing to do: the tables are up to date"
        : `Applied ${applied.join(", ")}`,
    );
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
