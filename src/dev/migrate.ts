/** `deno task migrate`: brings the tables of a `DATABASE_URL` up to date. Its role must own the tables. */
import { OwnerScope, ServerError } from "../db/mod.ts";
import { denoSockets } from "../library/deno/sockets.ts";
import { taskEnvironment } from "./env_file.ts";
import { createDatabase } from "../library/create_database.ts";
import { applyMigrations } from "../migrations/apply.ts";
import { migrations } from "../migrations/mod.ts";
import { parseSettings } from "../settings/settings.ts";

/**
 * Applies the missing migrations and returns their names. If it throws, a `SettingsError` or a database error, nothing
 * was changed.
 */
export async function migrate(
  env: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const background: Promise<void>[] = [];
  const db = createDatabase(parseSettings(env).database, {
    owner: { scope: OwnerScope.lasting(), waitUntil: (promise) => background.push(promise) },
    ...denoSockets,
  });
  try {
    return await applyMigrations(db, migrations);
  } catch (error) {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html: insufficient_privilege
    if (!(error instanceof ServerError && error.sqlState === "42501")) throw error;
    throw new Error(
      `Cannot apply the migrations as the role of DATABASE_URL may not: ${error.message}; ` +
        "use the role that owns the tables",
      { cause: error },
    );
  } finally {
    await Promise.all(background);
    await db.close({ timeoutMs: 0 });
  }
}

if (import.meta.main) {
  try {
    const applied = await migrate(taskEnvironment());
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
