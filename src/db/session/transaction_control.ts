/** Statements whose text ends, splits or leaves the transaction of the session that runs them. */
import type { FlightPart } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { SPACE } from "../driver/sql_text.ts";

/**
 * What a session cannot run. Neither ROLLBACK AND CHAIN nor ROLLBACK TO SAVEPOINT can be told by its command tag, and
 * both are `ROLLBACK` there. A prepared transaction outlives its session. COPY needs a stream of its own kind:
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
const REFUSED: readonly (readonly [name: string, pattern: RegExp, wayOut: string])[] = [
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
  [
    "COPY FROM STDIN or TO STDOUT",
    startsWith(`copy\\b(?=[^]*\\b(?:stdin|stdout)\\b)`),
    "insert rows with unnest(), and read them with SELECT or `stream()`",
  ],
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
    assertRunnable(part);
    return encodePart(part);
  });
}

function assertRunnable(part: FlightPart): void {
  if (!("text" in part)) return;
  for (const [name, pattern, wayOut] of REFUSED) {
    if (pattern.test(part.text)) {
      throw new TypeError(
        `Cannot run ${name} in a session as the session cannot follow it; ${wayOut}`,
      );
    }
  }
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
