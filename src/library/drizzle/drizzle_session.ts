/** A session as Drizzle's drivers have one. Drizzle's own prepared query maps the rows. */
import {
  type Logger,
  NoopLogger,
  type Query,
  type RelationalSchemaConfig,
  type SQL,
  type TablesRelationalConfig,
} from "drizzle-orm";
import { NoopCache } from "drizzle-orm/cache/core";
import {
  type PgDialect,
  type PgQueryResultHKT,
  PgSession,
  PgTransaction,
  type PgTransactionConfig,
  type PreparedQueryConfig,
  type SelectedFieldsOrdered,
} from "drizzle-orm/pg-core";
import { PreparedQuery } from "drizzle-orm/pg-proxy";
import { type QueryResult, type Session, trustedSql, type TypeParsers } from "../../db/mod.ts";
import { assertSameTransaction } from "../same_transaction.ts";
import { mappedParsers, RAW_PARSERS } from "./drizzle_parsers.ts";

/** The result of `execute()`, and of a write without `returning()`. */
export interface DrizzleQueryResult extends PgQueryResultHKT {
  type: QueryResult<this["row"]>;
}

interface DrizzleSessionOptions {
  readonly dialect: PgDialect;
  /** What relational queries need of the schema. */
  readonly relations: RelationalSchemaConfig<TablesRelationalConfig> | undefined;
  readonly logger: Logger | undefined;
}

type Schema = Record<string, unknown>;

export class DrizzleSession extends PgSession<DrizzleQueryResult, Schema, TablesRelationalConfig> {
  readonly #session: Session;
  readonly #options: DrizzleSessionOptions;

  constructor(session: Session, options: DrizzleSessionOptions) {
    super(options.dialect);
    this.#session = session;
    this.#options = options;
  }

  override prepareQuery<T extends PreparedQueryConfig = PreparedQueryConfig>(
    { sql, params }: Query,
    fields: SelectedFieldsOrdered | undefined,
    _name: string | undefined,
    isResponseInArrayMode: boolean,
    customResultMapper?: (rows: unknown[][]) => T["execute"],
    queryMetadata?: ConstructorParameters<typeof PreparedQuery>[6],
  ): PreparedQuery<T> {
    const parsers = mappedParsers(fields);
    return new PreparedQuery<T>(
      (text, values, method) =>
        method === "all" ? this.#rows(text, values, parsers) : this.#answer(text, values),
      sql,
      params,
      undefined,
      this.#options.logger ?? new NoopLogger(),
      new NoopCache(),
      queryMetadata,
      undefined,
      fields,
      isResponseInArrayMode,
      customResultMapper,
    );
  }

  /** Rows that Drizzle maps to fields: as arrays, so that equal column names stay apart. */
  #rows(text: string, values: unknown[], parsers: TypeParsers): Promise<{ rows: unknown[] }> {
    return this.#session.execute(trustedSql(text, values), { rowMode: "array", parsers });
  }

  /** The answer as it is. The prepared query returns `rows` of what it gets. */
  async #answer(text: string, values: unknown[]): Promise<{ rows: never }> {
    const answer = await this.#session.execute(trustedSql(text, values), { parsers: RAW_PARSERS });
    return { rows: answer as never };
  }

  override async all<T = unknown>(query: SQL): Promise<T[]> {
    return (await this.execute<QueryResult<T>>(query)).rows;
  }

  override async count(query: SQL): Promise<number> {
    const [row] = await this.all<{ count: string }>(query);
    return Number(row!.count);
  }

  /** Runs `work` in a savepoint. */
  override transaction<T>(
    work: (tx: DrizzleTransaction) => Promise<T>,
    { isolationLevel, accessMode, deferrable }: PgTransactionConfig = {},
  ): Promise<T> {
    return this.savepoint(work, 0, {
      isolation: isolationLevel,
      readOnly: accessMode === undefined ? undefined : accessMode === "read only",
      deferrable,
    });
  }

  async savepoint<T>(
    work: (tx: DrizzleTransaction) => Promise<T>,
    depth: number,
    request: Parameters<typeof assertSameTransaction>[1] = {},
  ): Promise<T> {
    assertSameTransaction(this.#session, request);
    return await this.#session.savepoint((inner) => {
      const session = new DrizzleSession(inner, this.#options);
      const { dialect, relations } = this.#options;
      return work(new DrizzleTransaction(dialect, session, relations, depth));
    });
  }
}

class DrizzleTransaction extends PgTransaction<DrizzleQueryResult, Schema, TablesRelationalConfig> {
  readonly #session: DrizzleSession;

  constructor(
    dialect: PgDialect,
    session: DrizzleSession,
    relations: DrizzleSessionOptions["relations"],
    depth: number,
  ) {
    super(dialect, session, relations, depth);
    this.#session = session;
  }

  override transaction<T>(work: (tx: DrizzleTransaction) => Promise<T>): Promise<T> {
    return this.#session.savepoint(work, this.nestedIndex + 1);
  }
}
