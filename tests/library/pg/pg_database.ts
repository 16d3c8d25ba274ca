/** The same database by this layer's pool and by node-postgres's own. */
// @ts-types="npm:@types/pg@8.23.1"
import pg from "pg";
import type { Database } from "../../../src/db/mod.ts";
import { type PgPool, pgPool } from "../../../src/library/pg/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

export interface Pools {
  readonly db: Database;
  readonly ours: PgPool;
  /** One more of `db`, for a library that declares node-postgres's type. */
  readonly pool: pg.Pool;
  readonly theirs: pg.Pool;
  readonly asAdmin: (text: string) => Promise<Record<string, unknown>[]>;
}

/** Runs as the owner of all tables, in a database of its own. */
export async function withPools(
  test: (pools: Pools) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const database = await localDatabase();
  await using branch = await database.connect();
  const owner = branch.envOf("user_service_owner");
  const db = branch.open({ ...owner, ...env });
  const theirs = new pg.Pool({ connectionString: owner["DATABASE_URL"]!, max: 2 });
  try {
    await test({
      db,
      ours: pgPool(db),
      pool: pgPool<pg.Pool>(db),
      theirs,
      asAdmin: branch.asAdmin,
    });
  } finally {
    await theirs.end();
  }
}
