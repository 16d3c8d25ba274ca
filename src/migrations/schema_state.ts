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
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const UNDEFINED_TABLE = "42P01";
const INSUFFICIENT_PRIVILEGE = "42501";

/** Compares them in one round trip, which ends the session. */
export async function compareSchema(session: Pick<Session, "commit">): Promise<SchemaState> {
  try {
    const [rows] = await session.commit([
      sql<{ name: string }>`select name from migrations order by name`,
    ]);
    const applied = rows!.map(({ name }) => name);
    return {
      missing: migrationNames.filter((name) => !applied.includes(name)),
      unknown: applied.filter((name) => !migrationNames.includes(name)),
      isUnreadable: false,
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
