import { ServerError, type Session, sql } from "../db/mod.ts";
import { migrationNames } from "./names.ts";

/** How the tables of a database compare with this version of the service. */
export interface SchemaState {
  /** Migrations of this version that were not applied: its statements may fail. */
  readonly missing: readonly string[];
  /** Migrations that this version does not know, as a newer one applied them. Each is safe for it: see README.md. */
  readonly unknown: readonly string[];
  /** Whether the role may not read the table `migrations`. Both lists are then empty. */
  readonly isUnreadable: boolean;
  /** The role, if row-level security does not keep it from other tenants' rows: a superuser, or one with BYPASSRLS. */
  readonly unboundRole?: string;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const UNDEFINED_TABLE = "42P01";
const INSUFFICIENT_PRIVILEGE = "42501";

/** Compares them in one round trip, which ends the session. */
export async function compareSchema(session: Pick<Session, "commit">): Promise<SchemaState> {
  try {
    const [rows, [bypassing]] = await session.commit([
      sql<{ name: string }>`select name from migrations order by name`,
      sql<{ role: string }>`
        select current_user::text as role where not row_security_active(to_regclass('users')::oid)`,
    ]);
    const applied = rows!.map(({ name }) => name);
    const missing = migrationNames.filter((name) => !applied.includes(name));
    return {
      missing,
      unknown: applied.filter((name) => !migrationNames.includes(name)),
      isUnreadable: false,
      // Without the migrations there may be no policies yet.
      ...(missing.length > 0 || bypassing === undefined ? {} : { unboundRole: bypassing.role }),
    };
  } catch (error) {
    const sqlState = error instanceof ServerError ? error.sqlState : undefined;
    if (sqlState === UNDEFINED_TABLE) {
      return { missing: migrationNames, unknown: [], isUnreadable: false };
    }
    if (sqlState !== INSUFFICIENT_PRIVILEGE) throw error;
    return { missing: [], unknown: [], isUnreadable: true };
  }
}
