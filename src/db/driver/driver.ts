/**
 * What the connection layer needs of a PostgreSQL driver. The pool and the session know these interfaces only;
 * `neon_driver.ts` and the tests' scripted driver are their two implementations.
 */
import type { TypeParsers } from "./type_parsers.ts";

/** How the rows of one part of a flight are read. */
export interface RowOptions {
  /** Gives each row as an array of its values, in the order of the columns, so that equal column names do not collide. */
  readonly rowMode?: "array" | undefined;
  /** Parsers by type id, which override those of the flight. */
  readonly parsers?: TypeParsers | undefined;
}

/** One parameterised statement. The driver sends the values apart from the text, never as a part of it. */
export interface Statement extends RowOptions {
  /** SQL with `$1`, `$2`, … where the values go. */
  readonly text: string;
  /** In the order of their numbers in `text`. */
  readonly values: readonly unknown[];
  /** Returns the rows in portions: the first one with this statement, the next ones by `Fetch`. Only inside a transaction. */
  readonly portal?: Portal | undefined;
  /**
   * The same object is sent many times and never changes: a driver may cache its encoded messages. Its rows come without
   * column names and types, as text by position.
   */
  readonly isStatic?: true;
  /** The text was checked, and the values are text or null already (`encodePart`). */
  readonly isEncoded?: true;
  /** The connection layer adds this statement to the caller's own ones. Views and traces leave it out. */
  readonly isInternal?: true | undefined;
  /**
   * The statement is never sent as a prepared statement, so that the server plans it for its values each time. For skewed
   * data: https://www.postgresql.org/docs/current/sql-prepare.html#SQL-PREPARE-NOTES
   */
  readonly prepare?: false | undefined;
  /**
   * Of the layer's own statement that sets the search path, or the role, of the transaction: equal for those that set it alike.
   * A text then means other tables, so that the driver prepares it once for each.
   */
  readonly searchPath?: string | undefined;
  /** Of a BEGIN, for a driver whose server opens the transaction itself. */
  readonly modes?: TransactionModes | undefined;
  /**
   * Puts a Flush message in front of the statement: the server sends the answers to all earlier parts before it runs this
   * one, so that they arrive even if the answer to this one does not.
   */
  readonly flushesBefore?: true | undefined;
  /**
   * Puts a Sync message in front of the statement, which must be the last one of its flight. The server skips what follows an
   * error up to a Sync, so that this statement runs after an error too, as a COMMIT that is to end the failed transaction.
   * Its result is left out then.
   */
  readonly syncsBefore?: true | undefined;
}

/** How a transaction runs: https://www.postgresql.org/docs/current/sql-set-transaction.html */
export interface TransactionModes {
  /** Which changes of other transactions it sees. */
  readonly isolation: "read committed" | "repeatable read" | "serializable";
  /** `undefined`: as the server's `default_transaction_read_only` says. */
  readonly readOnly?: boolean | undefined;
  /** Waits for a snapshot that cannot cause serialization failures. */
  readonly deferrable: boolean;
}

/**
 * The server's cursor over a statement's rows. Lasts until `Close`, or the transaction's end.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
export interface Portal {
  /** Unique within the transaction. */
  readonly name: string;
  /** Rows of one portion. */
  readonly maxRows: number;
}

/** Returns a portal's next rows, at most `maxRows`. */
export interface Fetch extends RowOptions {
  /** The portal that gives the rows. */
  readonly fetch: Portal;
  /** The text of the statement whose rows these are, for errors. */
  readonly statementText?: string;
}

/** Ends a portal early. Never fails, not even if the portal does not exist any more or the transaction has failed. */
export interface Close {
  /** The portal that ends. */
  readonly close: Portal;
}

/** One part of a flight. The server answers each with a result. */
export type FlightPart = Statement | Fetch | Close;

/** How the answers to a flight are read. */
export interface FlightOptions {
  /** Parsers by type id, which override the driver's own (`result_types.ts`) for this flight. */
  readonly parsers?: TypeParsers | undefined;
  /**
   * Called with each warning and notice of the flight as it arrives, also with those that belong to no result. Must not
   * throw.
   */
  readonly onNotice?: ((notice: Notice) => void) | undefined;
  /**
   * The flight may be sent while others are under way, and is answered after them. It reads only, begins outside a
   * transaction, and whatever fails in it, leaves none open behind it: it opens none, or ends it behind a Sync of its own
   * (`Statement.syncsBefore`). Those of one turn go out as one message.
   */
  readonly isShared?: boolean | undefined;
}

/**
 * A warning or notice of the server, such as that of RAISE NOTICE:
 * https://www.postgresql.org/docs/current/protocol-error-fields.html
 */
export interface Notice {
  /** WARNING, NOTICE, INFO, LOG or DEBUG, in the language of the server's messages. */
  readonly severity?: string | undefined;
  /** What it says, in the language of the server's messages. */
  readonly message?: string | undefined;
  /** The SQLSTATE: 00000 for a plain notice. */
  readonly code?: string | undefined;
  /** More about it, if the server said more. */
  readonly detail?: string | undefined;
  /** What the server proposes to do. */
  readonly hint?: string | undefined;
  /** The call stack of the procedure that raised it. */
  readonly where?: string | undefined;
  /** The server's own function that reported it. */
  readonly routine?: string | undefined;
}

/** A column of a result. */
export interface Column {
  /** As the server gives it. Several columns of a result may have the same. */
  readonly name: string;
  /** As in `pg_type.oid`. */
  readonly typeId: number;
}

/** The answer to one part of a flight. */
export interface Result<Row = Record<string, unknown>> {
  /** In the order in which the server sent them. */
  readonly rows: Row[];
  /** Rows returned or changed; 0 for commands that have no count. */
  readonly rowCount: number;
  /** The command tag's first word, as `INSERT`; `""` for an empty statement, a `Close`, and a suspended portal. */
  readonly command: string;
  /** Empty where the statement returns no rows or is static. */
  readonly columns?: readonly Column[];
  /** Set if the portal stopped at `maxRows`, so that there may be more rows. */
  readonly isSuspended?: boolean;
  /** The newest warning or notice that came with the result. */
  readonly notice?: Notice;
  /** Why the rows could not be decoded, although the statement ran without an error. */
  readonly decodeError?: Error;
}

/**
 * The status byte of ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export type TransactionStatus = "I" | "T" | "E";

/** The complete answer to a flight: the server has sent ReadyForQuery. */
export interface FlightAnswer {
  /** Why this side sent a cancel request during the flight, although the server then reported no error. */
  readonly interruption?: Error;
  /** One for each part that ran without an error, in the order of the parts. */
  readonly results: readonly Result[];
  /**
   * The server's error: it stopped the flight, and the parts after the failed one did not run. If there is none, the
   * first `decodeError` of the results.
   */
  readonly error?: Error;
  /** Which part has failed is not known: `results` says nothing of it. */
  readonly isUnlocated?: true;
  /** As the server sent it behind the last part. */
  readonly status: TransactionStatus;
}

/** `opening` until the server's first ReadyForQuery, `busy` while a flight is under way. */
export type ConnectionState = "opening" | "idle" | "busy" | "closed";

/** One PostgreSQL session over one socket. Carries one flight at a time, or several shared ones. */
export interface Connection {
  /** Whether it can take a flight. */
  readonly state: ConnectionState;
  /** Status byte of the newest ReadyForQuery; `undefined` before the first. */
  readonly status: TransactionStatus | undefined;
  /** The backend's process id, once the server has sent it. */
  readonly processId: number | undefined;
  /**
   * Whether the server's session belongs to this connection alone, so that what is set in it lasts as long as the
   * connection. `undefined` until that is known; `false` behind a pooler.
   */
  readonly isDirect?: boolean | undefined;
  /** Resolves at the first ReadyForQuery; rejects with `ConnectError` if the connection ends before it. */
  readonly ready: Promise<void>;
  /** Resolves when the socket is shut, with the error that ended the connection; with `undefined` after our own `close`. */
  readonly closed: Promise<Error | undefined>;

  /**
   * Sends the parts in one message, with one Sync, and resolves with the server's answer. A statement's error does not
   * reject: it is in the answer. Rejects with
   * - `ConnectError` if the connection fails before its first ReadyForQuery;
   * - `ConnectionLostError` if it ends later without a complete answer;
   * - `TypeError` for a value that cannot be sent, and during another flight, unless both are shared: nothing was sent;
   * - `ScopeError` if the calling code runs on behalf of another owner than the socket's.
   */
  flight(parts: readonly FlightPart[], options?: FlightOptions): Promise<FlightAnswer>;

  /**
   * Asks the server, over a second socket, to stop the running statement. Resolves when the server has taken the request,
   * at the latest after `timeoutMs`. Never rejects. The request may arrive late, and then stops a later statement:
   * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
   */
  cancel(options: { timeoutMs: number }): Promise<void>;

  /**
   * Ends the connection, and rejects the flights in progress. Waits up to `timeoutMs` until the server has closed its side,
   * then cuts the socket. Never rejects.
   */
  close(options: { timeoutMs: number }): Promise<void>;
}

/**
 * Runs a whole transaction by one request: a service that keeps the connections itself, such as Neon's SQL endpoint.
 */
export interface Endpoint {
  /**
   * A connection that holds nothing until its only flight, which begins and commits the transaction. An error of a
   * statement or of COMMIT is answered without results, as all is undone. Notices are not passed on.
   */
  connect(): Connection;
}

/** Opens connections. */
export interface Driver {
  /**
   * Resolves when a flight may be sent, which may be before the server has accepted the login (state `opening`).
   * Rejects with `ConnectError`, at the latest after `timeoutMs`, and when `signal` aborts. `timeoutMs` also bounds the
   * time from the call to the first ReadyForQuery: a connection that is not ready by then fails by itself. With
   * `untilReady` it resolves at the first ReadyForQuery, and `signal` works until then.
   */
  connect(
    options: { timeoutMs: number; signal?: AbortSignal; untilReady?: boolean },
  ): Promise<Connection>;
}
