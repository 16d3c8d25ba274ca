import type { CompiledQuery, IsolationLevel, QueryResult, TransactionSettings } from "kysely";
import {
  type Database,
  ISOLATION_LEVELS,
  type IsolationLevel as OurIsolationLevel,
  type Session,
  type TransactionOptions,
} from "../../db/mod.ts";
import type { TransactionalConnection } from "./connection_driver.ts";
import { orAborted, SavepointStack } from "./savepoint_stack.ts";
import { execute, statementOf, stream } from "./session_queries.ts";

/** A database as a connection. A transaction of Kysely is a session; a query outside one is a unit of its own. */
export class DatabaseConnection implements TransactionalConnection {
  readonly #db: Pick<Database, "session" | "transaction">;
  readonly #options: TransactionOptions;
  /** Set during a transaction. */
  #transaction: { readonly session: Session; readonly savepoints: SavepointStack } | undefined;
  #cancel = new AbortController();

  constructor(db: Pick<Database, "session" | "transaction">, options: TransactionOptions) {
    this.#db = db;
    this.#options = options;
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.#transaction !== undefined) {
      return execute(this.#transaction.savepoints.session, query);
    }
    return this.#db.transaction(async (session) => {
      if (givesRows(query)) {
        const [rows] = await session.commit([statementOf<Row>(query)]);
        return isSelect(query) ? { rows } : { rows, numAffectedRows: BigInt(rows.length) };
      }
      const result = await execute<Row>(session, query);
      await session.commit();
      return result;
    }, this.#unitOptions());
  }

  async *streamQuery<Row>(
    query: CompiledQuery,
    chunkSize: number,
  ): AsyncGenerator<QueryResult<Row>, void, void> {
    if (this.#transaction !== undefined) {
      yield* stream<Row>(this.#transaction.savepoints.session, query, chunkSize);
      return;
    }
    await using session = this.#db.session(this.#unitOptions());
    yield* stream<Row>(session, query, chunkSize);
    await session.commit();
  }

  /** Kysely calls it for a query whose `signal` has aborted, if asked to. In a transaction it ends the transaction. */
  cancelQuery(): Promise<void> {
    this.#cancel.abort();
    return Promise.resolve();
  }

  begin({ isolationLevel, accessMode }: TransactionSettings): void {
    const session = this.#db.session({
      ...this.#unitOptions(),
      ...isolationLevel === undefined ? {} : { isolation: isolationOf(isolationLevel) },
      ...accessMode === undefined ? {} : { readOnly: accessMode === "read only" },
    });
    this.#transaction = { session, savepoints: new SavepointStack(session) };
  }

  async commit(): Promise<void> {
    const { session, savepoints } = this.#require();
    try {
      await orAborted(async () => {
        await savepoints.releaseAll();
        await session.commit();
      });
    } catch (error) {
      // Kysely does not roll back after `AbortedTransactionError`, and does not wait for `end()`.
      await session.rollback();
      throw error;
    }
    this.#transaction = undefined;
  }

  async rollback(): Promise<void> {
    const { session } = this.#require();
    await session.rollback();
    this.#transaction = undefined;
  }

  savepoint(name: string): void {
    this.#require().savepoints.open(name);
  }

  rollbackToSavepoint(name: string): Promise<void> {
    return this.#require().savepoints.rollbackTo(name);
  }

  releaseSavepoint(name: string): Promise<void> {
    return this.#require().savepoints.release(name);
  }

  async end(): Promise<void> {
    if (this.#transaction !== undefined) await this.rollback();
  }

  #require() {
    if (this.#transaction !== undefined) return this.#transaction;
    throw new Error("Cannot end the transaction as none is open; begin it first");
  }

  #unitOptions(): TransactionOptions {
    this.#cancel = new AbortController();
    const { signal } = this.#options;
    const cancel = this.#cancel.signal;
    return {
      ...this.#options,
      signal: signal === undefined ? cancel : AbortSignal.any([signal, cancel]),
    };
  }
}

function isSelect({ query }: CompiledQuery): boolean {
  return query.kind === "SelectQueryNode";
}

/** Whether the number of rows that changed is the number of rows returned, so that COMMIT can go in the same flight. */
function givesRows(query: CompiledQuery): boolean {
  return isSelect(query) || "returning" in query.query && query.query.returning !== undefined;
}

function isolationOf(level: IsolationLevel): OurIsolationLevel {
  const isolation = ISOLATION_LEVELS.find((each) => each === level);
  if (isolation !== undefined) return isolation;
  // https://www.postgresql.org/docs/current/transaction-iso.html
  if (level === "read uncommitted") return "read committed";
  throw new TypeError(
    `Cannot begin the transaction as PostgreSQL has no such isolation level: current value is ${level}; ` +
      `use one of ${ISOLATION_LEVELS.join(", ")}`,
  );
}
