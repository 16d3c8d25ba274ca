import type { TypeParsers } from "../driver/result_types.ts";
import type { Sql } from "../driver/sql.ts";
import type { TransactionSettings } from "./begin.ts";

/** How one session differs from the database's defaults. */
export interface SessionOptions extends Partial<TransactionSettings> {
  /** An abort ends the wait for a connection, cancels the running statement, and rolls back. */
  readonly signal?: AbortSignal;
  /** Names the caller in traces, the pool's view and reports of leases that are held too long. */
  readonly label?: string;
  /** Parsers that replace the standard ones, by type id: `{ 1700: Number }` reads numeric as a number. */
  readonly parsers?: TypeParsers;
}

/** The type of the rows of several statements: one array for each. */
export type RowsOf<Statements extends readonly Sql<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Sql<infer Row> ? Row[] : never;
};

export interface StreamOptions {
  /** Rows fetched in one round trip and held in memory, from 1 to 2^31 - 1; 1,000 by default. */
  readonly batchSize?: number;
}
