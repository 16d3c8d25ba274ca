/**
 * The API of one transaction, for the code that runs a unit of work.
 *
 * Opening a session leases and sends nothing. Only `commit()` commits; every other end rolls back. Calls on a session
 * run one after the other, in the order in which they were made. `server_transaction.ts` turns them into flights.
 */
import { AfterCommitHooks } from "./after_commit.ts";
import type { TransactionSettings } from "./transaction_settings.ts";
import type { Result } from "../driver/driver.ts";
import { RowCountError, SessionEndedError } from "../errors.ts";
import { PrependedStatement } from "./flight_plan.ts";
import { Savepoint, SAVEPOINT_IS_OPEN, SIDE_BY_SIDE } from "./savepoint.ts";
import type { Transaction } from "./server_transaction.ts";
import { assertStatement, assertStatements, type Sql } from "../driver/sql.ts";
import { streamRows } from "./stream_rows.ts";
import { SerialQueue } from "./serial_queue.ts";
import type { ExecuteOptions, QueryResult, RowsOf, StreamOptions } from "./session_options.ts";

interface SessionContext {
  /** Runs a promise in the background: see `DatabaseOwner.waitUntil`. */
  readonly waitUntil: (rest: Promise<void>) => void;
}

/** Makes a session that of a savepoint inside another session. */
interface SavepointContext {
  readonly savepoint: Savepoint;
  readonly outer: Session;
}

/**
 * One transaction. `await using session = db.session()` rolls back at the end of the block what is not committed.
 *
 * Every method that runs a statement throws `SessionEndedError` after the end of the session, `StatementSkippedError`
 * after a failed statement, `ScopeError` for code of another owner, `DeadlineError` after an abort or without an answer
 * in time, `ServerError` for an ERROR of the server, `ConnectError` or `ConnectionLostError` for a lost connection,
 * `TypeError` for a value that cannot be sent or read, and the pool's refusals when it leases the connection.
 */
export class Session implements AsyncDisposable {
  readonly #transaction: Transaction;
  readonly #context: SessionContext;
  /** All sessions of one transaction share it. */
  readonly #queue: SerialQueue;
  /** 0 for the outermost session. */
  readonly #depth: number;
  readonly #afterCommitHooks = new AfterCommitHooks();
  /** The savepoint of this session; `undefined` in the outermost session. */
  readonly #savepoint: Savepoint | undefined;
  /** The session in which the savepoint was opened. */
  readonly #outer: Session | undefined;
  /** The newest savepoint in this session. */
  #inner: Savepoint | undefined;
  /** Resolves when the functions of all savepoints in this session have ended. */
  #innerWork: Promise<unknown> | undefined;
  /** The failure that the newest rollback of a savepoint mended, and the error that left its function. */
  #undone: { failure: Error | undefined; error?: unknown } | undefined;

  /** @internal Use `Database.session`. */
  constructor(
    transaction: Transaction,
    context: SessionContext,
    { savepoint, outer }: Partial<SavepointContext> = {},
  ) {
    this.#transaction = transaction;
    this.#context = context;
    this.#queue = outer === undefined
      ? new SerialQueue(() => transaction.assertCurrent())
      : outer.#queue;
    this.#depth = outer === undefined ? 0 : outer.#depth + 1;
    this.#savepoint = savepoint;
    this.#outer = outer;
  }

  /** Whether the transaction is known to be committed. */
  get isCommitted(): boolean {
    return this.#transaction.state === "committed";
  }

  /**
   * What a read passes as `replica.after` to see this commit, or "primary" if only the primary is sure to have it. Of two
   * positions of a cluster, the greater text is the later one. `undefined` before the commit, in a read-only session,
   * and if the database has no replicas.
   */
  get position(): string | undefined {
    return this.#transaction.position;
  }

  /** Whether the session, or the savepoint that it belongs to, has ended. */
  get hasEnded(): boolean {
    return this.#transaction.hasEnded || (this.#savepoint?.hasEnded ?? false);
  }

  /** The error that made the transaction fail. */
  get firstError(): Error | undefined {
    return this.#transaction.firstError;
  }

  /** The failure behind an error of the work: `firstError`, or that of the savepoint which the error has left last. */
  failureBehind(error: unknown): Error | undefined {
    const undone = this.#undone;
    const hasLeft = undone !== undefined && (!("error" in undone) || undone.error === error);
    return hasLeft ? undone.failure : this.firstError;
  }

  /** How the transaction begins. */
  get settings(): TransactionSettings {
    return this.#transaction.settings;
  }

  /** @internal Whether the transaction has ended, and every call on this session and its savepoints too. */
  get isSettled(): boolean {
    return this.#transaction.hasEnded && this.#innerWork === undefined && this.#queue.isIdle;
  }

  /** Resolves when every call on this session and its savepoints has ended. Never rejects. */
  async idle(): Promise<void> {
    await this.#queue.idle();
    for (let last; last !== this.#innerWork;) {
      await (last = this.#innerWork);
      await this.#queue.idle();
    }
  }

  /** Runs one statement in one round trip and returns its rows. */
  async query<Row>(statement: Sql<Row>): Promise<Row[]> {
    const [rows] = await this.batch([statement]);
    return rows as Row[];
  }

  /**
   * As `query`, and returns the count of rows, the command and the columns as well. `rowMode: "array"` gives each row as
   * an array. `parsers` replace those of the session for this statement.
   */
  execute(
    statement: Sql<unknown>,
    options: ExecuteOptions & { rowMode: "array" },
  ): Promise<QueryResult<unknown[]>>;
  /** As `query`, with the count of rows, the command and the columns. */
  execute<Row>(statement: Sql<Row>, options?: ExecuteOptions): Promise<QueryResult<Row>>;
  execute(statement: Sql<unknown>, options: ExecuteOptions = {}): Promise<QueryResult<unknown>> {
    return this.#enqueue(async () => {
      assertStatement(statement);
      const { text, values } = statement;
      const prepare = options.prepare ?? statement.prepare;
      const [result] = await this.#transaction.run([{ ...options, text, values, prepare }]);
      const { rows, rowCount, command, columns = [] } = result!;
      return { rows, rowCount, command, columns };
    });
  }

  /** As `query`, for a statement with one row. Throws `RowCountError` for none and for several. */
  async one<Row>(statement: Sql<Row>): Promise<Row> {
    const row = await this.maybeOne(statement);
    if (row === undefined) throw rowCountError("one row", 0);
    return row;
  }

  /** As `query`, for a statement with at most one row. Throws `RowCountError` for several. */
  async maybeOne<Row>(statement: Sql<Row>): Promise<Row | undefined> {
    const rows = await this.query(statement);
    if (rows.length > 1) throw rowCountError("one row at most", rows.length);
    return rows[0];
  }

  /**
   * Runs several statements in one round trip and returns the rows of each. Rejects with the first error, as
   * `Promise.all` does; the server does not run the statements after it. Calls that were made meanwhile reject with
   * `StatementSkippedError`, whose cause is that error.
   */
  batch<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#enqueue(async () => {
      assertStatements(statements);
      return rowsPerStatement(await this.#transaction.run(statements)) as RowsOf<Statements>;
    });
  }

  /**
   * Yields the rows of a statement one by one, and fetches `batchSize` rows in each round trip, so that a result of any
   * size needs little memory. Other statements of the session may run in between. `break` ends the stream. If the
   * caller pauses for longer than `idleTransactionTimeoutMs` between two round trips, the server ends the transaction.
   * Throws `RangeError` for a bad `batchSize`, and `TypeError` for what is no statement.
   */
  stream(
    statement: Sql<unknown>,
    options: StreamOptions & { rowMode: "array" },
  ): AsyncGenerator<unknown[], void, void>;
  /** Yields the rows one by one, as objects. */
  stream<Row>(statement: Sql<Row>, options?: StreamOptions): AsyncGenerator<Row, void, void>;
  stream(
    statement: Sql<unknown>,
    { batchSize = 1_000, ...rowOptions }: StreamOptions = {},
  ): AsyncGenerator<unknown, void, void> {
    assertStatement(statement);
    return streamRows<unknown>(statement, {
      ...rowOptions,
      portal: this.#transaction.flights.newPortal({ maxRows: batchSize }),
      run: (part) => this.#enqueue(async () => (await this.#transaction.run([part]))[0]!),
      close: (part) => this.#transaction.flights.prepend(new PrependedStatement(part)),
    });
  }

  /**
   * Opens a savepoint and returns a session of its own. `await using point = session.savepoint()` undoes at the end of
   * the block what was not kept by `await point.release()`. With `work`, runs it with that session: keeps what it did if
   * it returns; if it throws, undoes that only and rethrows. This session remains usable.
   *
   * Adds no round trips. While the savepoint is open, calls on this session throw `SessionEndedError`. Savepoints can be
   * nested, but not be open side by side. Throws `StatementSkippedError` if `work` returns although one of its
   * statements failed.
   */
  savepoint(): Session;
  /** Runs `work` in a savepoint: keeps what it did if it returns, undoes that if it throws. */
  savepoint<T>(work: (inner: Session) => T | Promise<T>): Promise<T>;
  savepoint<T>(work?: (inner: Session) => T | Promise<T>): Session | Promise<T> {
    const savepoint = new Savepoint(this.#transaction, {
      name: `savepoint_${this.#depth + 1}`,
      outer: this.#savepoint,
    });
    const inner = new Session(this.#transaction, this.#context, { savepoint, outer: this });
    const begun = this.#queue.run(() => this.#begin(savepoint));
    if (work === undefined) {
      // Each call on the inner session rejects with the same error.
      begun.catch(() => {});
      return inner;
    }
    // As in `SerialQueue`, only the caller follows the promise that it gets, so that stacks lead on to the caller.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#innerWork = Promise.all([this.#innerWork, promise]);
    return this.#runIn(inner, work, { begun, end: resolve });
  }

  /**
   * Ends a savepoint and keeps its work. Throws `StatementSkippedError` if one of its statements failed: its work is then
   * undone. Throws `SessionEndedError` in a session without a savepoint, and after a rollback.
   */
  release(): Promise<void> {
    return this.#queue.run(() => {
      if (this.#savepoint === undefined) {
        throw new SessionEndedError(
          "Cannot release the session as it belongs to no savepoint; call `commit()`",
        );
      }
      this.#assertOutermost();
      this.#savepoint.assertOpen();
      this.#release();
    });
  }

  /**
   * Calls `hook` after the transaction is known to be committed. Does not call it after a rollback, after a rollback to
   * the savepoint that it belongs to, or if the outcome of COMMIT is unknown. Hooks run one after the other, in the
   * order in which they were added. `commit()` does not wait for them: their promise and their failures go to the
   * database's `waitUntil`.
   */
  afterCommit(hook: () => void | Promise<void>): void {
    this.#assertUsable();
    this.#afterCommitHooks.add(hook);
  }

  /**
   * Commits the transaction. `statements` run in the same round trip as COMMIT: a single read is `commit([select])`.
   * Throws `CommitRolledBackError` if the server rolled back instead, `CommitOutcomeUnknownError` if the answer was
   * lost and the outcome could not be found, `CommitRowsLostError` if the transaction is committed and only the rows of
   * `statements` were lost, and `SessionEndedError` in a savepoint. A second call without statements does nothing.
   */
  commit(): Promise<void>;
  /** Runs the statements and COMMIT in one round trip, and returns the rows of each statement. */
  commit<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>>;
  commit(statements: readonly Sql<unknown>[] = []): Promise<unknown[][] | void> {
    return this.#queue.run(() => this.#commit(statements));
  }

  /** Rolls back the transaction; in a savepoint's session, the work of the savepoint. Does nothing after the end. */
  rollback(): Promise<void> {
    return this.#queue.run(() => this.#rollBack());
  }

  /**
   * Rolls back what is not committed and gives the connection back. The caller waits for it, except in a read-only
   * session: there it runs through `waitUntil`. Never rejects.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#savepoint === undefined && this.isSettled) return;
    const end = this.#queue.run(() => {
      this.#noteBlockEnd();
      return this.#rollBack();
    }).catch(() => {});
    if (this.settings.readOnly) this.#context.waitUntil(end);
    else await end;
  }

  #rollBack(): Promise<void> | void {
    return this.#savepoint === undefined
      ? this.#transaction.rollback()
      : this.#savepoint.rollback();
  }

  /** An error may be leaving the block of a savepoint. Which one, the session cannot see. */
  #noteBlockEnd(): void {
    if (this.#savepoint?.hasEnded !== false) return;
    this.#outer!.#undone = { failure: this.firstError ?? this.#undone?.failure };
  }

  #enqueue<T>(task: () => T | Promise<T>): Promise<T> {
    return this.#queue.run(() => {
      // What happened in a savepoint before has been dealt with.
      this.#undone = undefined;
      this.#assertUsable();
      return task();
    });
  }

  async #commit(statements: readonly Sql<unknown>[]): Promise<unknown[][]> {
    if (this.#savepoint !== undefined) {
      throw new SessionEndedError(
        "Cannot commit as the session belongs to a savepoint; " +
          "end the savepoint, then commit the session in which it was opened",
      );
    }
    this.#assertOutermost();
    assertStatements(statements);
    try {
      return rowsPerStatement(await this.#transaction.commit(statements));
    } finally {
      if (this.isCommitted) this.#afterCommitHooks.run(this.#context);
    }
  }

  #begin(savepoint: Savepoint): void {
    savepoint.begin(() => {
      this.#assertOutermost(SIDE_BY_SIDE);
      this.#assertUsable();
    });
    this.#inner = savepoint;
  }

  async #runIn<T>(
    inner: Session,
    work: (inner: Session) => T | Promise<T>,
    { begun, end }: { begun: Promise<void>; end: () => void },
  ): Promise<T> {
    try {
      await begun;
      return await this.#keepOrUndo(inner, work);
    } finally {
      end();
    }
  }

  async #keepOrUndo<T>(inner: Session, work: (inner: Session) => T | Promise<T>): Promise<T> {
    try {
      const value = await work(inner);
      await inner.idle();
      await this.#queue.run(() => inner.#release());
      return value;
    } catch (error) {
      await inner.idle();
      this.#undone = { error, failure: inner.failureBehind(error) };
      await inner.rollback();
      throw error;
    }
  }

  #release(): void {
    if (this.#savepoint!.release()) this.#outer!.#afterCommitHooks.addAll(this.#afterCommitHooks);
  }

  #assertUsable(): void {
    this.#assertOutermost();
    this.#savepoint?.assertOpen();
    this.#transaction.assertUsable();
  }

  #assertOutermost(refusal = SAVEPOINT_IS_OPEN): void {
    if (this.#inner?.hasEnded === false) throw new SessionEndedError(refusal);
  }
}

function rowCountError(expected: string, count: number): RowCountError {
  return new RowCountError(
    `Cannot return ${expected} as the statement gave ${count}; ` +
      "narrow its WHERE clause, or call `query`, which returns any number",
    { count },
  );
}

function rowsPerStatement(results: readonly Result[]): unknown[][] {
  return results.map(({ rows }) => rows);
}
