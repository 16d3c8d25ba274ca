/**
 * Drizzle's query builder on a session, so that the transaction, its retry and its commit stay the connection layer's.
 * `drizzle-orm` is a peer dependency: the app brings its own.
 */
import {
  createTableRelationsHelpers,
  DefaultLogger,
  type DrizzleConfig,
  extractTablesRelationalConfig,
  type ExtractTablesWithRelations,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from "drizzle-orm";
import { PgDatabase, PgDialect } from "drizzle-orm/pg-core";
import type { Session } from "../../db/mod.ts";
import { type DrizzleQueryResult, DrizzleSession } from "./drizzle_session.ts";

export type { DrizzleQueryResult };

/**
 * As for Drizzle's own drivers. There is no `cache`: it would keep rows that are not committed, and would drop rows
 * before the commit that changes them.
 */
export type DrizzleOptions<Schema extends Record<string, unknown>> = Omit<
  DrizzleConfig<Schema>,
  "cache"
>;

/** Drizzle's database whose results have `rows`, `rowCount` and `command`. */
export type DrizzleDatabase<Schema extends Record<string, unknown> = Record<string, never>> =
  PgDatabase<DrizzleQueryResult, Schema>;

/**
 * Returns Drizzle's database for one session, in `db.transaction`, `withSession` or a savepoint.
 *
 * Its `transaction()` is a savepoint; its `rollback()` undoes the savepoint only. `session.commit()` must still be
 * called. Values are read as Drizzle's driver for node-postgres gives them: `db.execute` returns int8, numeric, dates and
 * timestamps as text. A failed statement throws `DrizzleQueryError`, whose `cause` is the session's error, and whose
 * message contains the statement's values.
 */
export function drizzleOn<Schema extends Record<string, unknown> = Record<string, never>>(
  session: Session,
  { schema, casing, logger }: DrizzleOptions<Schema> = {},
): DrizzleDatabase<Schema> {
  const dialect = new PgDialect(casing === undefined ? {} : { casing });
  const relations = schema === undefined ? undefined : relationsOf(schema);
  const drizzleSession = new DrizzleSession(session, {
    dialect,
    relations,
    logger: logger === true ? new DefaultLogger() : logger || undefined,
  });
  return new PgDatabase(dialect, drizzleSession, relations) as unknown as DrizzleDatabase<Schema>;
}

/** Made once for each schema, since every unit of work asks for it. */
const relationsBySchema = new WeakMap<object, RelationalSchemaConfig<TablesRelationalConfig>>();

function relationsOf<Schema extends Record<string, unknown>>(
  schema: Schema,
): RelationalSchemaConfig<TablesRelationalConfig> {
  let relations = relationsBySchema.get(schema);
  if (relations === undefined) {
    const { tables, tableNamesMap } = extractTablesRelationalConfig<
      ExtractTablesWithRelations<Schema>
    >(schema, createTableRelationsHelpers);
    relations = { fullSchema: schema, schema: tables, tableNamesMap };
    relationsBySchema.set(schema, relations);
  }
  return relations;
}
