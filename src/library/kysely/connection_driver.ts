import type { DatabaseConnection, Driver, TransactionSettings } from "kysely";

/** What the driver needs of a connection. A transaction is begun once, and then ended once. */
export interface TransactionalConnection extends DatabaseConnection {
  begin(settings: TransactionSettings): void | Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  savepoint(name: string): void;
  rollbackToSavepoint(name: string): Promise<void>;
  releaseSavepoint(name: string): Promise<void>;
  /** Kysely does not need it any more. */
  end(): Promise<void>;
}

/** Kysely's driver, whose connections are sessions, so that it neither opens nor keeps any itself. */
export class ConnectionDriver implements Driver {
  readonly #open: () => TransactionalConnection;

  constructor(open: () => TransactionalConnection) {
    this.#open = open;
  }

  async init(): Promise<void> {}

  acquireConnection(): Promise<TransactionalConnection> {
    return Promise.resolve(this.#open());
  }

  async beginTransaction(
    connection: TransactionalConnection,
    settings: TransactionSettings,
  ): Promise<void> {
    await connection.begin(settings);
  }

  commitTransaction(connection: TransactionalConnection): Promise<void> {
    return connection.commit();
  }

  rollbackTransaction(connection: TransactionalConnection): Promise<void> {
    return connection.rollback();
  }

  savepoint(connection: TransactionalConnection, name: string): Promise<void> {
    return Promise.resolve(connection.savepoint(name));
  }

  rollbackToSavepoint(connection: TransactionalConnection, name: string): Promise<void> {
    return connection.rollbackToSavepoint(name);
  }

  releaseSavepoint(connection: TransactionalConnection, name: string): Promise<void> {
    return connection.releaseSavepoint(name);
  }

  releaseConnection(connection: TransactionalConnection): Promise<void> {
    return connection.end();
  }

  /** The database and the session belong to the caller. */
  async destroy(): Promise<void> {}
}
