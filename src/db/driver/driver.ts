/**
 * What the connection layer needs of a PostgreSQL driver, and no more. The pool and the session know these
 * interfaces only; `neon_driver.ts` and the tests' scripted driver are their two implementations.
 */
import type { TypeParsers } from "./result_types.ts";

/** One parameterised statement. Values are always sent apart from the text. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Gives its rows in portions: the first now, the next by `Fetch`. Only inside a transaction. */
  readonly portal?: Portal;
  /**
   * For one that is sent again and again as this very object: a driver may keep the messages that it has made of it.
   * Its rows come without the names and types of their columns: as texts, by position.
   */
  readonly isRoutine?: true;
  /** Has the answers to all that stands in front of it sent before it is run, so that they are there if it is not. */
  readonly flushesBefore?: true;
}

/**
 * A statement in the middle of its rows. Lasts until `Close`, or the transaction's end.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
export interface Portal {
  /** Unlike that of any other of the transaction. */
  readonly name: string;
  readonly maxRows: number;
}

/** Asks for a portal's next rows. */
export interface Fetch {
  readonly fetch: Portal;
}

/** Ends a portal early. Never fails, also where the portal has ended by itself or the transaction has failed. */
export interface Close {
  readonly close: Portal;
}

/** What a flight is made of. Each part has a result. */
export type FlightPart = Statement | Fetch | Close;

export interface FlightOptions {
  /** Instead of the driver's own, by type id. */
  readonly parsers?: TypeParsers | undefined;
}

/** The rows of one statement, with the number of rows it touched and its command tag's first word. */
export interface Result<Row = Record<string, unknown>> {
  readonly rows: Row[];
  /** Rows returned or changed; 0 for commands that have no count. */
  readonly rowCount: number;
  /** `INSERT`, `COMMIT`, …; `""` for an empty statement, a `Close`, and a portal that has not come to its end. */
  readonly command: string;
  /** Whether its portal has reached `maxRows`, so that there may be more. */
  readonly isSuspended?: boolean;
  /** SQLSTATE of the newest warning or notice that came with it. */
  readonly notice?: string;
  /** Why its rows are of no use, though the server found no fault. The flight's error, if that was answered. */
  readonly decodeError?: Error;
}

/**
 * The status byte of ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export type TransactionStatus = "I" | "T" | "E";

/**
 * The definite answer to a flight: the server said ReadyForQuery. `error` is the one that stopped the flight;
 * `results` then holds those of the statements before it, and the statements after it were not run.
 */
export interface FlightAnswer {
  readonly results: readonly Result[];
  readonly error?: Error;
  readonly status: TransactionStatus;
}

/** How far a connection is: `opening` lasts until the first real ReadyForQuery. */
export type ConnectionState = "opening" | "idle" | "busy" | "closed";

/** One PostgreSQL session over one socket. Carries one flight at a time. */
export interface Connection {
  readonly state: ConnectionState;
  /** Status byte of the newest ReadyForQuery; `undefined` before the first. */
  readonly status: TransactionStatus | undefined;
  /** The backend's process id, once the server has told it. */
  readonly processId: number | undefined;
  /** Resolves at the first ReadyForQuery; rejects with `ConnectError` if the connection ends before it. */
  readonly ready: Promise<void>;
  /** Resolves once the socket is shut, with what ended it; with nothing after our own `close`. */
  readonly closed: Promise<Error | undefined>;

  /**
   * Sends the parts in one message, with one Sync, and resolves with the server's answer.
   * Rejects with `ConnectError` if the connection fails before its first ReadyForQuery, with
   * `ConnectionLostError` if it ends later without a whole answer, and with `TypeError` for values that cannot be
   * sent (nothing was).
   */
  flight(parts: readonly FlightPart[], options?: FlightOptions): Promise<FlightAnswer>;

  /** Asks the server, over a socket of its own, to stop the running statement. Resolves when the request was delivered or given up. */
  cancel(options: { timeoutMs: number }): Promise<void>;

  /** Says goodbye and waits, up to `timeoutMs`, until the server has closed too. Never rejects. */
  close(options: { timeoutMs: number }): Promise<void>;
}

/** Opens connections. */
export interface Driver {
  /**
   * Resolves when a flight may be sent; that may be before the server has accepted the login (`opening`).
   * Rejects with `ConnectError`, at the latest after `timeoutMs`. The same time bounds the wait for the first
   * ReadyForQuery, after which a silent connection fails by itself.
   */
  connect(options: { timeoutMs: number; signal?: AbortSignal }): Promise<Connection>;
}
