import type { CompiledQuery, QueryResult, TransactionSettings } from "kysely";
import type { Session } from "../../db/mod.ts";
import { assertSameTransaction } from "../same_transaction.ts";
import type { TransactionalConnection } from "./connection_driver.ts";
import { orAborted, SavepointStack } from "./savepoint_stack.ts";
import { execute, stream } from "./session_queries.ts";

/** A session as a connection. A transaction of Kysely is a savepoint. */
export class SessionConnection implements TransactionalConnection {
  readonly #session: Session;
  readonly #savepoints: SavepointStack;

  constructor(session: Session) {
    this.#session = session;
    this.#savepoints = new SavepointStack(session);
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return execute(this.#savepoints.session, query);
  }

  streamQuery<Row>(
    query: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<Row>> {
    return stream(this.#savepoints.session, query, chunkSize);
  }

  begin({ isolationLevel, accessMode }: TransactionSettings): void {
    assertSameTransaction(this.#session, {
      isolation: isolationLevel,
      readOnly: accessMode === undefined ? undefined : accessMode === "read only",
    });
    this.#savepoints.open();
  }

  commit(): Promise<void> {
    return orAborted(() => this.#savepoints.releaseAll());
  }

  rollback(): Promise<void> {
    return this.#savepoints.rollbackAll();
  }

  savepoint(name: string): void {
    this.#savepoints.open(name);
  }

  rollbackToSavepoint(name: string): Promise<void> {
    return this.#savepoints.rollbackTo(name);
  }

  releaseSavepoint(name: string): Promise<void> {
    return this.#savepoints.release(name);
  }

  end(): Promise<void> {
    return this.rollback();
  }
}
