/**
 * All errors of the connection layer, for callers to catch. `failures/` says what each means for a unit of work: whether
 * it may have been applied, and whether running it again may help.
 */

import type { Result } from "./driver/driver.ts";

/** What the server said in an ErrorResponse. https://www.postgresql.org/docs/current/protocol-error-fields.html */
export interface ServerErrorFields {
  readonly message: string;
  readonly severity: string;
  readonly sqlState: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly constraint?: string | undefined;
  readonly dataType?: string | undefined;
  readonly position?: string | undefined;
  readonly internalPosition?: string | undefined;
  readonly internalQuery?: string | undefined;
  readonly where?: string | undefined;
  readonly routine?: string | undefined;
}

/** The permits of a pool by the state of their connections, and the callers that wait for one. */
export interface PoolCounts {
  /** Permits in all. */
  readonly limit: number;
  /** Their connections are being opened. */
  readonly opening: number;
  /** Their connections are in use. */
  readonly leased: number;
  /** Their connections are kept for the next caller. */
  readonly idle: number;
  /** Their connections are being closed. */
  readonly closing: number;
  /** Callers that wait for a permit. */
  readonly waiting: number;
}

/** The pool at the moment of a refusal, and how long the refused caller had waited. */
export interface PoolState extends PoolCounts {
  /** How long the refused caller had waited. */
  readonly waitedMs: number;
}

/** Base class of every error that this layer throws by itself. */
export abstract class DatabaseLayerError extends Error {
  /** Attempts at the unit of work, if there were several. Set by `Database.transaction` on the error that comes out. */
  declare attempts?: number;
  /** The state of the pool, on errors of `acquire`. */
  declare pool?: PoolState;
}

/**
 * The server answered with an error: SQLSTATE, severity and the names it gave. Whether the unit is run again depends on the
 * SQLSTATE: see `failures/`.
 */
export class ServerError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "ServerError";
  /** ERROR, FATAL or PANIC, never translated. */
  readonly severity: string;
  /** https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly sqlState: string;
  /** More about the error; may contain values of the row. */
  readonly detail: string | undefined;
  /** What the server proposes to do. */
  readonly hint: string | undefined;
  /** The schema of the object that the error is about. */
  readonly schema: string | undefined;
  /** The table that the error is about. */
  readonly table: string | undefined;
  /** The column that the error is about. */
  readonly column: string | undefined;
  /** The constraint that was violated, such as `users_email_key` with a 23505. */
  readonly constraint: string | undefined;
  /** The type that the error is about. */
  readonly dataType: string | undefined;
  /** Of the error in `statement`, counted in characters (code points) from 1. */
  readonly position: string | undefined;
  /** The statement of a procedure that failed. */
  readonly internalQuery: string | undefined;
  /** Of the error in `internalQuery`, counted as `position` is. */
  readonly internalPosition: string | undefined;
  /** The call stack of procedures in which the error occurred. */
  readonly where: string | undefined;
  /** The server's own function that reported the error. Errors that a pooler made have none. */
  readonly routine: string | undefined;
  /** Set by a session that had asked to be read only: a write in it is the caller's mistake. */
  declare wasReadOnly?: boolean;
  /**
   * The text of the statement that failed, with `$1`, `$2`, … in the places of its values. The layer sets it, also for
   * one statement of several in a flight. `undefined` if the server ended the connection or refused the login. Not
   * enumerable, so that logging the error does not print literals in the text, such as the password of CREATE ROLE.
   */
  declare statement: string | undefined;

  /** Made by the driver, from the server's message. */
  constructor(fields: ServerErrorFields, options?: ErrorOptions) {
    super(fields.message, options);
    this.severity = fields.severity;
    this.sqlState = fields.sqlState;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.schema = fields.schema;
    this.table = fields.table;
    this.column = fields.column;
    this.constraint = fields.constraint;
    this.dataType = fields.dataType;
    this.position = fields.position;
    this.internalQuery = fields.internalQuery;
    this.internalPosition = fields.internalPosition;
    this.where = fields.where;
    this.routine = fields.routine;
    Object.defineProperty(this, "statement", { value: undefined, writable: true });
  }

  /** `sqlState`, by the name that node-postgres gave it, for libraries that look for it. */
  get code(): string {
    return this.sqlState;
  }
}

/**
 * A connection could not be opened, or ended before the server's first ReadyForQuery. `db.transaction` runs the unit again
 * if the cause is transient; a wrong password or an unknown database is not.
 */
export class ConnectError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "ConnectError";
  /** Whether a flight was sent together with the login. The server may have run it, and only its answer was lost. */
  readonly sent: boolean;

  /** Without `sent`, no flight was sent with the login. */
  constructor(message: string, options: ErrorOptions & { sent?: boolean } = {}) {
    super(message, options);
    this.sent = options.sent ?? false;
  }
}

/** A connection that had been ready ended before it answered. Before COMMIT was sent, the unit can be run again. */
export class ConnectionLostError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "ConnectionLostError";
  /** Whether the flight was given to the socket. A connection that is known to be closed sends nothing. */
  readonly sent: boolean;
  /** Whether the server had started the flight: a ParseComplete of it arrived. */
  readonly begun: boolean;
  /** The results of the flight that had arrived. */
  declare readonly answered: readonly Result[];

  /** Without `sent`, the flight was given to the socket. */
  constructor(
    message: string,
    options: ErrorOptions & {
      sent?: boolean;
      begun: boolean;
      answered?: readonly Result[] | undefined;
    },
  ) {
    super(message, options);
    this.sent = options.sent ?? true;
    this.begun = options.begun;
    // Not enumerable, so that logging the error does not print rows.
    Object.defineProperty(this, "answered", { value: options.answered ?? [], enumerable: false });
  }
}

/** The pool did not lease a connection. Nothing was sent to the server. */
export abstract class PoolRefusal extends DatabaseLayerError {
  /** How long the caller should wait before it asks again. */
  readonly retryAfterMs: number;

  /** Made by the pool. */
  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * No connection came free within `acquireTimeoutMs`. `pool` holds the counts. Shorten transactions, or raise
 * `DATABASE_POOL_SIZE`.
 */
export class AcquireTimeoutError extends PoolRefusal {
  /** The class's name, also in minified code. */
  override readonly name = "AcquireTimeoutError";
}

/**
 * The pool refused without a wait, or ended one early: the queue is full, the wait would be too long, or the newest
 * connects failed. Wait for `retryAfterMs`.
 */
export class PoolOverloadedError extends PoolRefusal {
  /** The class's name, also in minified code. */
  override readonly name = "PoolOverloadedError";
  /** Whether it is the database that cannot be reached, and not the pool that has too much to do. */
  readonly isUnreachable: boolean;

  /** Made by the pool. */
  constructor(
    message: string,
    { isUnreachable = false, ...options }: ErrorOptions & {
      retryAfterMs: number;
      isUnreachable?: boolean;
    },
  ) {
    super(message, options);
    this.isUnreachable = isUnreachable;
  }
}

/** The pool is closing or closed, so that another instance has to do the work. Also ends flights that the closing pool cuts. */
export class PoolClosedError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "PoolClosedError";
}

/**
 * The calling code may not use the connection: it runs on behalf of another owner than the socket's, or after its
 * owner's end, or its request holds a connection and would have to wait for a second one.
 */
export class ScopeError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "ScopeError";

  /** For code that runs on behalf of another owner, or after its owner's end. */
  static foreign(): ScopeError {
    return new ScopeError(
      "Cannot use a connection outside the request that it belongs to, as the runtime ties sockets to requests; " +
        "make a Database for each request, with a scope of its own",
    );
  }
}

/** The caller's signal aborted, or the server did not answer within the timeouts. Never retried: the next run would take as long. */
export class DeadlineError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "DeadlineError";
}

/** The session was used after its end, or while a savepoint was open in it. A mistake of the author's: nothing was sent. */
export class SessionEndedError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "SessionEndedError";
}

/**
 * The work returned without `commit()` or `rollback()`, after it wrote, or read at `serializable`. It was rolled back. Add
 * `await session.commit()`.
 */
export class SessionNotCommittedError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "SessionNotCommittedError";
}

/** The server answered COMMIT with ROLLBACK, or would have: an earlier statement had failed. The first failure is the `cause`. */
export class CommitRolledBackError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "CommitRolledBackError";
}

/** The statement, or the savepoint's release, did not run: a statement before it had failed. That failure is the `cause`. */
export class StatementSkippedError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "StatementSkippedError";
}

/** A statement gave another number of rows than `one` or `maybeOne` return. The transaction goes on. */
export class RowCountError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "RowCountError";
  /** Rows that the statement gave. */
  readonly count: number;

  /** `count` is what the statement gave. */
  constructor(message: string, { count }: { count: number }) {
    super(message);
    this.count = count;
  }
}

/** Why the outcome of a COMMIT cannot be found out. */
export type UnknownReason =
  /** The statement was sent by `Database.run`, outside a transaction, so that the server keeps no outcome to look up. */
  | "no transaction"
  /** The transaction's id never arrived: the answer to the whole flight was lost, or the unit did nothing but NOTIFY. */
  | "no xid"
  /** The primary has committed, but the wait for its synchronous standby was cancelled: a fail-over may lose the commit. */
  | "not replicated"
  /** The caller's signal aborted. */
  | "gave up"
  /** No connection could be opened for the question. */
  | "unreachable"
  /** The server has restarted or crashed since, so that the id may belong to another transaction now. */
  | "restarted"
  /** A server of another cluster answered, such as one that logical replication fills. It knows nothing of the transaction. */
  | "other cluster"
  /**
   * Another server answered, or the same one after a restart, and it can't be shown to belong to the transaction's cluster:
   * the role may not execute pg_control_system(), its answer had not arrived yet, or logical replication fills the server.
   */
  | "cluster unknown"
  /** A standby answered. It may not have received the COMMIT yet. */
  | "in recovery"
  /** The transaction was still in progress when the time was up. */
  | "in progress"
  /** The server does not keep the outcome any more, or refuses to tell it. */
  | "not told";

/**
 * COMMIT, or the statement of `Database.run`, was sent, its answer was lost, and its outcome cannot be found out: the
 * work is there, or it is not. Never retried, unless the unit has a key. Read the data to see, or give such work a key.
 */
export class CommitOutcomeUnknownError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "CommitOutcomeUnknownError";
  /** The transaction's id for `pg_xact_status`, if it is known. */
  readonly xid: string | undefined;
  /** Why the outcome cannot be known. */
  readonly reason: UnknownReason;

  /** Made by a session. */
  constructor(
    { xid, reason }: { xid: string | undefined; reason: UnknownReason },
    options?: ErrorOptions,
  ) {
    const where = xid === undefined ? "" : ` or ask pg_xact_status('${xid}')`;
    super(
      reason === "no transaction"
        ? "Cannot tell whether the statement took effect, as it was sent outside a transaction and its answer did not " +
          "come; look for its effects before running it again"
        : `Cannot tell whether the transaction was committed, as COMMIT was sent and its answer did not come (${reason}); ` +
          `look for its effects${where} before doing it again, or give such work a key`,
      options,
    );
    this.xid = xid;
    this.reason = reason;
  }
}

/** The transaction is committed, but the rows that came with its COMMIT were lost. Read them; do not do the work again. */
export class CommitRowsLostError extends DatabaseLayerError {
  /** The class's name, also in minified code. */
  override readonly name = "CommitRowsLostError";
}
