/** Kysely's compiled queries as statements of a session. */
import type { CompiledQuery, QueryResult } from "kysely";
import { type Session, type Sql, trustedSql } from "../../db/mod.ts";

/** The commands for which Kysely wants the number of rows. */
const COUNTED: ReadonlySet<string> = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

export function statementOf<Row>({ sql, parameters }: CompiledQuery): Sql<Row> {
  return trustedSql<Row>(sql, parameters);
}

export async function execute<Row>(
  session: Session,
  query: CompiledQuery,
): Promise<QueryResult<Row>> {
  const { rows, rowCount, command } = await session.execute(statementOf<Row>(query));
  return COUNTED.has(command) ? { rows, numAffectedRows: BigInt(rowCount) } : { rows };
}

/** One result for each chunk, which takes one round trip. */
export async function* stream<Row>(
  session: Session,
  query: CompiledQuery,
  chunkSize: number,
): AsyncGenerator<QueryResult<Row>, void, void> {
  let rows: Row[] = [];
  for await (const row of session.stream(statementOf<Row>(query), { batchSize: chunkSize })) {
    rows.push(row);
    if (rows.length < chunkSize) continue;
    yield { rows };
    rows = [];
  }
  if (rows.length > 0) yield { rows };
}
