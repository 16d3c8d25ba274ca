/**
 * The closed set of errors of the connection layer, and the one place that decides what a failure means.
 *
 * Nobody else compares SQLSTATEs or matches message texts. Callers catch by class; a retry asks `judge`.
 */

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

/** Base of every error that this layer makes. */
export abstract class DatabaseLayerError extends Error {
  /** How many times the unit of work was tried, set by `transaction` on the error that comes out. */
  declare attempts?: number;
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

  /** FATAL and PANIC end the connection; ERROR ends the statement. */
  get isFatal(): boolean {
    return this.severity === "FATAL" || this.severity === "PANIC";
  }
}

/** A connection could not be made, or failed before its first ReadyForQuery: nothing of the caller's ran. */
export class ConnectError extends DatabaseLayerError {
  override readonly name = "ConnectError";
}

/** A connection that had been ready ended without answering. */
export class ConnectionLostError extends DatabaseLayerError {
  override readonly name = "ConnectionLostError";
  /** Whether the server had begun on the flight (a ParseComplete was seen). */
  readonly begun: boolean;

  constructor(message: string, options: ErrorOptions & { begun: boolean }) {
    super(message, options);
    this.begun = options.begun;
  }
}

/** Nobody gave a connection back in time. */
export class AcquireTimeoutError extends DatabaseLayerError {
  override readonly name = "AcquireTimeoutError";
  /** How long the caller should stay away. */
  readonly retryAfterMs: number;

  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The pool refused at once: its queue is full, or the database could not be reached a moment ago. */
export class PoolOverloadedError extends DatabaseLayerError {
  override readonly name = "PoolOverloadedError";
  /** How long the caller should stay away. */
  readonly retryAfterMs: number;

  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The pool is closing or closed. */
export class PoolClosedError extends DatabaseLayerError {
  override readonly name = "PoolClosedError";
}

/** A connection was used outside the owner scope that its socket belongs to, or a scope asked for a second one in vain. */
export class ScopeError extends DatabaseLayerError {
  override readonly name = "ScopeError";
}

/** The caller's deadline passed, or its signal aborted, before the work was done. */
export class DeadlineError extends DatabaseLayerError {
  override readonly name = "DeadlineError";
}

/** The session was used after its end, or twice at once. */
export class SessionEndedError extends DatabaseLayerError {
  override readonly name = "SessionEndedError";
}

/** A unit of work wrote, succeeded, and never said `commit()` or `rollback()`. */
export class SessionNotCommittedError extends DatabaseLayerError {
  override readonly name = "SessionNotCommittedError";
}

/** COMMIT was answered ROLLBACK: an earlier statement had failed. That failure is the `cause`. */
export class CommitRolledBackError extends DatabaseLayerError {
  override readonly name = "CommitRolledBackError";
}

/** A statement of a flight was not run, since one before it failed. That failure is the `cause`. */
export class StatementSkippedError extends DatabaseLayerError {
  override readonly name = "StatementSkippedError";
}

/** COMMIT was sent and its answer never came: the work is there, or it is not, and nothing here can tell. */
export class CommitOutcomeUnknownError extends DatabaseLayerError {
  override readonly name = "CommitOutcomeUnknownError";
}

/** Where a unit of work was when it failed. `commit` means that a COMMIT was on its way. */
export type Phase = "statement" | "commit";

/** What a failure means for a whole unit of work. */
export interface Verdict {
  /** Whether the unit's effects are in the database. */
  readonly applied: "no" | "unknown";
  /** Whether the same work may succeed if it is done again. Only asked when `applied` is "no". */
  readonly transient: boolean;
}

/**
 * SQLSTATEs, in answer to a statement or a COMMIT, after which the same transaction may succeed.
 * 40001 and 40P01: https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html;
 * 55P03, 53xxx and 57P01 to 57P03: conditions that pass by themselves, by the wording of the errcodes appendix.
 */
const TRANSIENT_STATES: ReadonlySet<string> = new Set([
  "40001",
  "40P01",
  "55P03",
  "53000",
  "53200",
  "53300",
  "57P01",
  "57P02",
  "57P03",
  "57P05",
  "08000",
  "08001",
  "08003",
  "08004",
  "08006",
]);

/** Texts of errors that Neon's proxy and PgBouncer send as XX000 or 08P01 while they connect, and that pass by themselves. */
const TRANSIENT_CONNECT_TEXTS: readonly RegExp[] = [
  /Control plane request failed/,
  /Couldn't connect to compute node/,
  /Failed to acquire permit to connect to the database/,
  /Too many connections attempts/,
  /Too many connections to this endpoint/,
  /endpoint is temporarily unavailable/,
  /server conn crashed\?/,
  /query_wait_timeout/,
  /no more connections allowed/,
];

/** Whether a server's refusal of a login is one that passes by itself. */
function isTransientRefusal(error: ServerError): boolean {
  return TRANSIENT_STATES.has(error.sqlState) ||
    TRANSIENT_CONNECT_TEXTS.some((text) => text.test(error.message));
}

/** What `error` means for the unit of work that it ended. Errors that are not ours are the caller's own: final. */
export function judge(error: unknown, phase: Phase): Verdict {
  if (error instanceof ConnectError) {
    const refusal = error.cause;
    return {
      applied: "no",
      transient: refusal instanceof ServerError ? isTransientRefusal(refusal) : true,
    };
  }
  if (error instanceof ConnectionLostError) {
    return { applied: phase === "commit" ? "unknown" : "no", transient: true };
  }
  if (error instanceof ServerError) {
    // Only severity ERROR in answer to COMMIT is a definite rollback.
    const unknown = phase === "commit" && (error.isFatal || error.sqlState === "40003");
    return {
      applied: unknown || error.sqlState === "08007" ? "unknown" : "no",
      transient: TRANSIENT_STATES.has(error.sqlState),
    };
  }
  // Whoever gave up while a COMMIT was on its way knows as little as if the connection had been lost.
  if (error instanceof DeadlineError) {
    return { applied: judge(error.cause, phase).applied, transient: false };
  }
  return {
    applied: error instanceof CommitOutcomeUnknownError ? "unknown" : "no",
    transient: false,
  };
}

/**
 * Whether the first flight on a connection that had been idle can be sent again as it is. A connection that died in
 * the pool answers FATAL before any ParseComplete; anything else may have run, which matters once it held a COMMIT.
 */
export function isReplayable(error: unknown, { commits }: { commits: boolean }): boolean {
  if (!(error instanceof ConnectionLostError)) return false;
  return !commits || (!error.begun && error.cause instanceof ServerError);
}
