/** The parts of Kysely's PostgreSQL dialect, with a driver of this layer in place of node-postgres. */
import {
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  sql,
} from "kysely";

interface LayerDialectOptions {
  readonly driver: () => Driver;
  readonly adapter: () => DialectAdapter;
}

// deno-lint-ignore no-explicit-any -- Kysely's own interfaces say so: any schema.
type AnyKysely = Kysely<any>;

export class LayerDialect implements Dialect {
  readonly #options: LayerDialectOptions;

  constructor(options: LayerDialectOptions) {
    this.#options = options;
  }

  createDriver(): Driver {
    return this.#options.driver();
  }

  createAdapter(): DialectAdapter {
    return this.#options.adapter();
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler();
  }

  createIntrospector(db: AnyKysely): DatabaseIntrospector {
    return new PostgresIntrospector(db);
  }
}

/** Kysely's own number for its migrations' lock (kysely/dialect/postgres/postgres-adapter.js). */
const LOCK_ID = 3853314791062309107n;

/** Locks out other migrations until the transaction ends. Kysely's own lock would outlive it. */
export class MigrationAdapter extends PostgresAdapter {
  override async acquireMigrationLock(db: AnyKysely): Promise<void> {
    await sql`select pg_advisory_xact_lock(${sql.lit(LOCK_ID)})`.execute(db);
  }

  override releaseMigrationLock(): Promise<void> {
    return Promise.resolve();
  }
}

/** For a Kysely without a session, where the lock's transaction would end before the migrations begin. */
export class TransactionOnlyAdapter extends MigrationAdapter {
  override async acquireMigrationLock(db: AnyKysely): Promise<void> {
    if (db.isTransaction) return await super.acquireMigrationLock(db);
    throw new Error(
      "Cannot run the migrations as their lock needs a transaction: current value is a Kysely outside one; " +
        "run the Migrator in db.transaction, with kyselyOn(session), or give it the `trx` of a Kysely transaction",
    );
  }
}
