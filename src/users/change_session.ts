import { type RowsOf, type Session, type Sql, sql } from "../db/mod.ts";

/** A further part of a statement's WITH clause, with the comma before it: keeps the rows of the part of that name. */
export type KeepRows = (rows: Sql) => Sql;

/** What a change needs of its session. */
export interface ChangeSession extends Pick<Session, "afterCommit"> {
  /** Runs the statements and COMMIT in one round trip, and returns the rows of each statement. */
  commit<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>>;
  /** Only for a request with an idempotency key: its answer can be repeated if each statement keeps its rows. */
  readonly keep?: KeepRows | undefined;
}

const NOTHING = sql``;

/** Stands behind the last part of a WITH clause, of which the part `rows` has the rows of the statement. */
export function keptPart(rows: Sql, keep: KeepRows | undefined): Sql {
  return keep?.(rows) ?? NOTHING;
}

/** The same query, which keeps its rows. */
export function keptQuery<Row>(query: Sql<Row>, keep: KeepRows | undefined): Sql<Row> {
  if (keep === undefined) return query;
  return sql<Row>`with found as (${query})${keep(sql`found`)} select * from found`;
}
