/** The closed set of errors of the connection layer, for callers to catch. What each means is in `failures.ts`. */

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
}

/** A pool's permits by the state of their connections, and who waits for one. */
export interface PoolCounts {
  /** Permits in all. */
  readonly limit: number;
  readonly opening: number;
  readonly leased: number;
  readonly idle: number;
  readonly closing: number;
  readonly waiting: number;
}

/** The pool at a refusal, and how long the refused one had waited. */
export interface PoolState extends PoolCounts {
  readonly waitedMs: number;
}

/** Base of every error that this layer makes. */
export abstract class DatabaseLayerError extends Error {
  /** How many times the unit of work was tried, set by `transaction` on the error that comes out. */
  declare attempts?: number;
  /** The pool as it was, on what comes out of `acquire`. */
  declare pool?: PoolState;
}

/** The server's own answer to a statement: SQLSTATE, severity and the names it gave. */
export class ServerError extends DatabaseLayerError {
  override readonly name = "ServerError";
  readonly severity: string;
  /** https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly sqlState: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;

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
  }
}

/** A connection could not be made, or ended before its first ReadyForQuery. */
export class ConnectError extends DatabaseLayerError {
  override readonly name = "ConnectError";
  /** Whether a flight had left with the login: then it may have run all the same, its answers lost. */
  readonly sent: boolean;

  constructor(message: string, options: ErrorOptions & { sent?: boolean } = {}) {
    super(message, options);
    this.sent = options.sent ?? false;
  }
}

/** A connection that had been ready ended without answering. */
export class ConnectionLostError extends DatabaseLayerError {
  override readonly name = "ConnectionLostError";
  /** Whether the server had begun on the flight (a ParseComplete was seen). */
  readonly begun: boolean;
  /** Of the flight's parts, those that had been answered. */
  declare readonly answered: readonly Result[];

  constructor(
    message: string,
    options: ErrorOptions & { begun: boolean; answered?: readonly Result[] | undefined },
  ) {
    super(message, options);
    this.begun = options.begun;
    // Rows are no part of what is printed of an error.
    Object.defineProperty(this, "answered", { value: options.answered ?? [], enumerable: false });
  }
}

/** The pool could not serve the caller now. */
export abstract class PoolRefusal extends DatabaseLayerError {
  /** How long the caller should stay away. */
  readonly retryAfterMs: number;

  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Nobody gave a connection back in time. */
export class AcquireTimeoutError extends PoolRefusal {
  override readonly name = "AcquireTimeoutError";
}

/** The pool refused at once: its queue is full, or the database could not be reached a moment ago. */
export class PoolOverloadedError extends PoolRefusal {
  override readonly name = "PoolOverloadedError";
}

/** The pool is closing or closed. */
export class PoolClosedError extends DatabaseLayerError {
  override readonly name = "PoolClosedError";
}

/** A connection was used outside the owner scope that its socket belongs to, or a scope asked for a second one in vain. */
export class ScopeError extends DatabaseLayerError {
  override readonly name = "ScopeError";

  /** For code that runs on behalf of another owner, or after the owner's end. */
  static foreign(): ScopeError {
    return new ScopeError(
      "Cannot use a connection outside the request that it belongs to, as the runtime ties sockets to requests; " +
        "make a Database for each request, with a scope of its own",
    );
  }
}

/** The caller's deadline passed, or its signal aborted, before the work was done. */
export class DeadlineError extends DatabaseLayerError {
  override readonly name = "DeadlineError";
}

/** The session was used after its end, or while a savepoint was open in it. */
export class SessionEndedError extends DatabaseLayerError {
  override readonly name = "SessionEndedError";
}

/** A unit of work wrote, or read at `serializable`, succeeded, and never said `commit()` or `rollback()`. */
export class SessionNotCommittedError extends DatabaseLayerError {
  override readonly name = "SessionNotCommittedError";
}

/** COMMIT was, or would have been, answered ROLLBACK: an earlier statement had failed. The first failure is the `cause`. */
export class CommitRolledBackError extends DatabaseLayerError {
  override readonly name = "CommitRolledBackError";
}

/** A statement, or a savepoint's release, was not run, since a statement before it failed. That failure is the `cause`. */
export class StatementSkippedError extends DatabaseLayerError {
  override readonly name = "StatementSkippedError";
}

/** Why nobody can tell what became of a COMMIT. */
export type UnknownReason =
  /** The server had not told the transaction's id: the whole flight was lost, or nothing but a NOTIFY was done. */
  | "no xid"
  /** The caller's signal aborted. */
  | "gave up"
  /** No connection could be had to ask on. */
  | "unreachable"
  /** The server has started again or has crashed since, so that the id may be another transaction's. */
  | "restarted"
  /** What answers is a standby. */
  | "in recovery"
  /** It was neither done nor undone in time. */
  | "in progress"
  /** The server does not know any more, or does not say. */
  | "not told";

/** COMMIT was sent, its answer never came, and the server could not be asked: the work is there, or it is not. */
export class CommitOutcomeUnknownError extends DatabaseLayerError {
  override readonly name = "CommitOutcomeUnknownError";
  /** The transaction's id, for `pg_xact_status`, where it is known. */
  readonly xid: string | undefined;
  readonly reason: UnknownReason;

  constructor(
    { xid, reason }: { xid: string | undefined; reason: UnknownReason },
    options?: ErrorOptions,
  ) {
    const where = xid === undefined ? "" : ` or ask pg_xact_status('${xid}')`;
    super(
      `Cannot tell whether the transaction was committed, as COMMIT was sent and its answer did not come (${reason}); ` +
        `look for its effects${where} before doing it again, or give such work a key`,
      options,
    );
    this.xid = xid;
    this.reason = reason;
  }
}

/** The transaction is committed, but the rows that came with its COMMIT were lost: read them, do not repeat the work. */
export class CommitRowsLostError extends DatabaseLayerError {
  override readonly name = "CommitRowsLostError";
}
