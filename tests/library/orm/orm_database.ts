/** A database for one file of cases, and a session for each case that leaves nothing behind. */
import {
  type Database,
  type Session,
  type SessionOptions,
  trustedSql,
} from "../../../src/db/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { type FaultBranch, faultBranch } from "../../support/fault_branch.ts";
import { localDatabase } from "../../support/local_database.ts";

export interface OrmDatabase {
  /** Opens a pool for the time of `test`. */
  withDatabase(test: (db: Database, branch: Branch) => Promise<void>): Promise<void>;
  /** Gives access through a relay that can strike. */
  faulty(): Promise<FaultBranch>;
  /** Runs `test` in one session, and rolls it back. */
  withSession(test: (session: Session) => Promise<void>, options?: SessionOptions): Promise<void>;
}

/** Runs the statements of `setup` once, as the owner of all tables. */
export async function ormDatabase(setup: readonly string[] = []): Promise<OrmDatabase> {
  const database = await localDatabase();
  const open = async (test: (db: Database, branch: Branch) => Promise<void>) => {
    await using branch = await database.connect();
    await test(branch.open(branch.envOf("user_service_owner")), branch);
  };
  await open(async (db) => {
    await db.transaction(async (session) => {
      for (const text of setup) await session.query(trustedSql(text));
      await session.commit();
    });
  });
  return {
    withDatabase: open,
    faulty: () => faultBranch(database),
    withSession: (test, options) =>
      open(async (db) => {
        await using session = db.session(options);
        await test(session);
      }),
  };
}
