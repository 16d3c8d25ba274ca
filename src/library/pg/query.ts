/** What node-postgres calls a query, as statements of this layer, and their results as it gives them. */
import type { Result, Statement, TypeParsers } from "../../db/mod.ts";
import { pgTypes } from "../../db/neon/pg_types.ts";
import { codeOf } from "../../db/driver/sql_text.ts";
import { toParameter } from "./parameters.ts";
import { splitStatements } from "./split_statements.ts";

/** How to read values: https://github.com/brianc/node-pg-types */
export interface PgTypes {
  // deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres, so that its own types fit
  getTypeParser(typeId: number, format?: any): (text: any) => any;
}

/** A query with its options, as node-postgres takes it. */
export interface PgQuery {
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
  readonly rowMode?: string | undefined;
  readonly types?: PgTypes | undefined;
  /** Has no effect: the layer itself decides what is prepared. */
  readonly name?: string | undefined;
  /** In milliseconds. The database's `statementTimeoutMs` by default. */
  readonly query_timeout?: number | undefined;
}

/** A column of a result. */
export interface PgField {
  readonly name: string;
  readonly dataTypeID: number;
  /** Not known here: 0, and -1 for size and modifier. */
  readonly tableID: number;
  readonly columnID: number;
  readonly dataTypeSize: number;
  readonly dataTypeModifier: number;
  readonly format: string;
}

/** As node-postgres gives it. */
// deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres
export interface PgResult<Row = any> {
  readonly rows: Row[];
  /** `null` for a command without a count, such as CREATE TABLE. */
  readonly rowCount: number | null;
  /** The command tag's first word. */
  readonly command: string;
  readonly oid: number;
  readonly fields: PgField[];
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete */
const COUNTED: ReadonlySet<string> = new Set([
  ...["INSERT", "DELETE", "UPDATE", "MERGE", "SELECT", "MOVE", "FETCH", "COPY"],
]);

/** Throws `TypeError` for what is no query of text and values. */
export function queryOf(query: unknown, values: unknown): PgQuery {
  const config = typeof query === "string" ? { text: query } : query as Partial<PgQuery> | null;
  if (typeof (config as { submit?: unknown } | null)?.submit === "function") {
    throw new TypeError(
      "Cannot run the query object as it speaks the protocol by itself (pg-cursor, pg-query-stream, pg-copy-streams); " +
        "use `session.stream()` for many rows",
    );
  }
  if (typeof config?.text !== "string") {
    throw new TypeError(
      `Cannot run the query as it has no text: current type is ${typeof config
        ?.text}; pass a string`,
    );
  }
  return { ...config, text: config.text, ...(Array.isArray(values) ? { values } : {}) };
}

export function statementsOf(
  { text, values = [], rowMode, types }: PgQuery,
  defaults: PgTypes = pgTypes,
): Statement[] {
  const options = {
    parsers: parsersOf(types ?? defaults),
    ...(rowMode === "array" ? { rowMode } as const : {}),
  };
  if (values.length > 0) return [{ text, values: values.map(toParameter), ...options }];
  const statements = splitStatements(text);
  statements.forEach(assertNoListen);
  return statements.map((each) => ({ text: each, values: [], ...options }));
}

/** LISTEN would succeed, and the notifications never come. */
function assertNoListen(text: string): void {
  if (!/\blisten\b/i.test(text) || !codeOf(text).trim().startsWith("listen")) return;
  throw new TypeError("Cannot LISTEN as this layer delivers no notifications; poll a table");
}

const parsers = new WeakMap<PgTypes, TypeParsers>();

/** Parsers for all type ids. A library's `getTypeParser` may compute them, so that they cannot be listed. */
function parsersOf(types: PgTypes): TypeParsers {
  let found = parsers.get(types);
  if (found === undefined) {
    found = new Proxy<TypeParsers>({}, {
      get: (_, typeId) => types.getTypeParser(Number(typeId), "text"),
    });
    parsers.set(types, found);
  }
  return found;
}

/** One result, or as many as the text had statements. */
export function resultOf(results: readonly Result[]): PgResult | PgResult[] {
  const all = results.map(({ rows, rowCount, command, columns = [] }) => ({
    rows,
    rowCount: COUNTED.has(command) ? rowCount : null,
    command: command === "" ? null : command,
    oid: command === "INSERT" ? 0 : null,
    fields: columns.map(({ name, typeId }) => ({
      name,
      tableID: 0,
      columnID: 0,
      dataTypeID: typeId,
      dataTypeSize: -1,
      dataTypeModifier: -1,
      format: "text",
    })),
  })) as PgResult[]; // node-postgres declares command and oid so, and has null there as well.
  return all.length === 1 ? all[0]! : all;
}
