/** Statements whose text ends, splits or leaves the transaction of the session that runs them. */
import type { FlightPart } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { SPACE } from "../driver/sql_text.ts";
import { assertStatement, type Sql } from "../driver/sql.ts";

type Refusal = readonly [name: string, pattern: RegExp, wayOut: string];

/** It needs a stream of its own kind: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY */
const COPY: Refusal = [
  "COPY FROM STDIN or TO STDOUT",
  startsWith(`copy\\b(?=[^]*\\b(?:stdin|stdout)\\b)`),
  "insert rows with unnest(), and read them with SELECT or `stream()`",
];

/**
 * What a session cannot run. Neither ROLLBACK AND CHAIN nor ROLLBACK TO SAVEPOINT can be told by its command tag, and
 * both are `ROLLBACK` there. A prepared transaction outlives its session.
 */
const REFUSED: readonly Refusal[] = [
  [
    "ROLLBACK AND CHAIN",
    startsWith(`(?:rollback|abort)\\b(?=[^]*\\band${SPACE}+chain\\b)`),
    "call `rollback()`, and open another session",
  ],
  [
    "PREPARE TRANSACTION",
    startsWith(`prepare${SPACE}+transaction\\b`),
    "call `commit()`",
  ],
  COPY,
];

/** What would begin or end a transaction where none is. COMMIT PREPARED and ROLLBACK PREPARED do neither. */
const REFUSED_ALONE: readonly Refusal[] = [
  [
    "BEGIN, COMMIT, SAVEPOINT and their like",
    startsWith(
      `(?:begin|start${SPACE}+transaction|(?:commit|rollback)(?!${SPACE}+prepared\\b)|end|abort|savepoint|release|` +
        `prepare${SPACE}+transaction)\\b`,
    ),
    "use `transaction()` or `session()`",
  ],
  COPY,
];

const TO_SAVEPOINT = startsWith(`rollback(?:${SPACE}+(?:work|transaction))?${SPACE}+to\\b`);

const ENDING = startsWith(String.raw`(?:commit|end|rollback|abort)\b`);

function startsWith(pattern: string): RegExp {
  return new RegExp(`^${SPACE}*(?:${pattern})`, "i");
}

/**
 * Checks and encodes statements before a connection is leased for them. Throws `TypeError` for a statement that a session
 * cannot run, and for a text or value that cannot be sent.
 */
export function prepare(parts: readonly FlightPart[]): readonly FlightPart[] {
  return parts.map((part) => {
    const refusal = refusalOf(part, REFUSED);
    if (refusal !== undefined) {
      const [name, , wayOut] = refusal;
      throw new TypeError(
        `Cannot run ${name} in a session as the session cannot follow it; ${wayOut}`,
      );
    }
    return encodePart(part);
  });
}

/**
 * Checks and encodes a statement that is to run outside a transaction. Throws `TypeError` for what is no statement, for
 * one that begins or ends a transaction, and for a text or value that cannot be sent.
 */
export function prepareAlone(statement: Sql<unknown>): FlightPart {
  assertStatement(statement);
  const refusal = refusalOf(statement, REFUSED_ALONE);
  if (refusal !== undefined) {
    const [name, , wayOut] = refusal;
    throw new TypeError(
      `Cannot run ${name} by \`db.run\` as it runs one statement, without a transaction or a stream of data; ${wayOut}`,
    );
  }
  return encodePart(statement);
}

function refusalOf(part: FlightPart, refusals: readonly Refusal[]): Refusal | undefined {
  return "text" in part ? refusals.find(([, pattern]) => pattern.test(part.text)) : undefined;
}

/**
 * Whether the statement may end the transaction by its own text. The server then commits the statements behind it on
 * their own, also behind a ROLLBACK.
 */
export function mayEnd(part: FlightPart): boolean {
  return "text" in part && ENDING.test(part.text) && !returnsToSavepoint(part);
}

/** Whether it is ROLLBACK TO SAVEPOINT, whose command tag is that of ROLLBACK. */
export function returnsToSavepoint(part: FlightPart): boolean {
  return "text" in part && TO_SAVEPOINT.test(part.text);
}
