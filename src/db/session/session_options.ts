import type { Column, Notice, RowOptions } from "../driver/driver.ts";
import type { TypeParsers } from "../driver/type_parsers.ts";
import type { Sql } from "../driver/sql.ts";
import type { ReplicaWish } from "../pool/replicas/replicas.ts";
import type { SettingsChanges } from "./transaction_settings.ts";

/** How one session differs from the database's defaults. `undefined` is as if left out. */
export interface SessionOptions extends SettingsChanges {
  /** An abort ends the wait for a connection, cancels the running statement, and rolls back. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Lets a replica answer, if the database has any and one is new enough: it shows all that was committed up to
   * `maxStalenessMs` ago, and up to `after`. Otherwise the primary answers. For a `readOnly` session, at `read committed`:
   * at other levels the primary answers, as a snapshot would be older than what the replica tells of itself.
   */
  readonly replica?: ReplicaWish | undefined;
  /** Names the caller in traces, the pool's view and reports of leases that are held too long. */
  readonly label?: string | undefined;
  /** Parsers that replace the standard ones, by type id: `{ 1700: Number }` reads numeric as a number. */
  readonly parsers?: TypeParsers | undefined;
  /**
   * Is called with each warning and notice of the server, such as that of RAISE NOTICE, as it arrives; in every attempt
   * of a unit of work. The layer keeps none. `client_min_messages` decides which the server sends. What the function
   * throws goes to the database's `waitUntil`, and never makes the statement fail.
   */
  readonly onNotice?: ((notice: Notice) => void | Promise<void>) | undefined;
}

/** The type of the rows of several statements: one array for each. */
export type RowsOf<Statements extends readonly Sql<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Sql<infer Row> ? Row[] : never;
};

/** The answer to a statement. */
export interface QueryResult<Row> {
  /** In the order in which the server sent them. */
  readonly rows: Row[];
  /** Rows returned or changed, as in the command tag; 0 for commands that have no count. */
  readonly rowCount: number;
  /** The first word of the command tag, as `INSERT`. */
  readonly command: string;
  /** Empty for a statement that returns no rows. */
  readonly columns: readonly Column[];
}

/** How one statement is sent, and its rows are read. */
export interface ExecuteOptions extends RowOptions {
  /** Never sends the statement as a prepared one: see `Sql.with`. */
  readonly prepare?: false | undefined;
}

/** How a statement is sent, and its rows are read portion by portion. */
export interface StreamOptions extends ExecuteOptions {
  /** Rows fetched in one round trip and held in memory, from 1 to 2^31 - 1; 1,000 by default. */
  readonly batchSize?: number | undefined;
}
