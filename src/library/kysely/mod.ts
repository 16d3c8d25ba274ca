/**
 * Kysely's query builder on a session or on a database. `kysely` is a peer dependency: the app brings its own, from
 * version 0.29.
 */
import { Kysely, type KyselyConfig } from "kysely";
import type { Database, Session, TransactionOptions } from "../../db/mod.ts";
import { ConnectionDriver } from "./connection_driver.ts";
import { DatabaseConnection } from "./database_connection.ts";
import { LayerDialect, MigrationAdapter, TransactionOnlyAdapter } from "./layer_dialect.ts";
import { SessionConnection } from "./session_connection.ts";

/** As for `new Kysely`, without the dialect. */
export type KyselyOptions = Omit<KyselyConfig, "dialect">;

/**
 * Returns Kysely for one session, in `db.transaction`, `withSession` or a savepoint. `session.commit()` must still be
 * called.
 *
 * `transaction()` and `startTransaction()` are savepoints of the session, and named savepoints are nested in them. An
 * isolation level or access mode that the session does not have throws `TypeError`. `stream()` fetches its chunks in
 * one round trip each. `destroy()` does not end the session. A query's `signal` ends the caller's wait only: pass it to
 * `db.transaction` to stop the server's work too. Values are read as the session reads them (`src/db/README.md`).
 */
export function kyselyOn<DB>(session: Session, options: KyselyOptions = {}): Kysely<DB> {
  const dialect = new LayerDialect({
    driver: () => new ConnectionDriver(() => new SessionConnection(session)),
    adapter: () => new MigrationAdapter(),
  });
  return new Kysely<DB>({ ...options, dialect });
}

/** The parts of a `Database` that the dialect uses. */
export type DialectDatabase = Pick<Database, "session" | "transaction">;

/**
 * Kysely's dialect over a database, for code that wants a Kysely of its own: `new Kysely<DB>({ dialect: new
 * DatabaseDialect(db) })`. Prefer `kyselyOn` in `db.transaction`.
 *
 * A query outside a transaction is a unit of its own: committed, retried and settled as `db.transaction` does it. A
 * transaction of Kysely is a session: a lost COMMIT is settled, but nothing is run again, there is no `afterCommit`, and
 * no key. `connection()` gives no connection of its own: what a query leaves on a connection (SET, temporary tables,
 * session locks) is not there for the next one. A statement that refuses to run in a transaction, such as VACUUM, is
 * refused. `stream()` outside a transaction commits at its end, and rolls back if it is left early. `destroy()` does
 * not close the database. `options` hold for every unit and session.
 */
export class DatabaseDialect extends LayerDialect {
  constructor(db: DialectDatabase, options: TransactionOptions = {}) {
    super({
      driver: () => new ConnectionDriver(() => new DatabaseConnection(db, options)),
      adapter: () => new TransactionOnlyAdapter(),
    });
  }
}
