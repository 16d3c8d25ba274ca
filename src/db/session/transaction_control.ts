/** Statements whose text ends, splits or leaves the transaction of the session that runs them. */
import type { FlightPart } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { codeOf, SPACE } from "../driver/sql_text.ts";
import { assertStatement, type Sql } from "../driver/sql.ts";

/** The pattern is for the statement's code, as `codeOf` gives it. */
type Refusal = readonly [name: string, pattern: RegExp, wayOut: string];

/** It needs a stream of its own kind: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY */
const COPY: Refusal = [
  "COPY FROM STDIN or TO STDOUT",
  /^[\s;]*copy\b[^]*\b(?:from|to)\s+std(?:in|out)\b/,
  "insert rows with unnest(), and read them with SELECT or `stream()`",
];

/**
 * What a session cannot run. Neither ROLLBACK AND CHAIN nor ROLLBACK TO SAVEPOINT can be told by its command tag, and
 * both are `ROLLBACK` there. A prepared transaction outlives its session.
 */
const REFUSED: readonly Refusal[] = [
  [
    "ROLLBACK AND CHAIN",
    /^[\s;]*(?:rollback|abort)\b[^]*\band\s+chain\b/,
    "call `rollback()`, and open another session",
  ],
  [
    "PREPARE TRANSACTION",
    /^[\s;]*prepare\s+transaction\b/,
    "call `commit()`",
  ],
  COPY,
];

/** What would begin or end a transaction where none is. COMMIT PREPARED and ROLLBACK PREPARED do neither. */
const REFUSED_ALONE: readonly Refusal[] = [
  [
    "BEGIN, COMMIT, SAVEPOINT and their like",
    /^[\s;]*(?:begin|start\s+transaction|(?:commit|rollback)(?!\s+prepared\b)|end|abort|savepoint|release|prepare\s+transaction)\b/,
    "use `transaction()` or `session()`",
  ],
  COPY,
];

/** Most statements end here, at little cost. */
const MAY_BE_REFUSED = startsWith(
  String.raw`(?:copy|prepare|begin|start|commit|end|rollback|abort|savepoint|release)\b`,
);

const TO_SAVEPOINT = startsWith(`rollback(?:${SPACE}+(?:work|transaction))?${SPACE}+to\\b`);

const BEGINNING = startsWith(`(?:begin|start${SPACE}+transaction)\\b`);

/**
 * A lock or setting that a function leaves. A setting that is local to a transaction is none, if the call is written plainly:
 * `true` in a comment or in the text of a value does not count, and neither does a call behind a quoted name.
 */
const LEAVES_STATE =
  /\bpg_(?:try_)?advisory_lock|\bset_config(?!\s*\((?:[^()'"$\\/-]|\$\d|'[^'\\]*')*,\s*true\s*\))/i;

/** The name of a function could be hidden in it. */
const HIDES_NAMES = /\bu&"/i;

const READING = startsWith(String.raw`[\s(]*(?:select|with|values|table)\b`);

/** Also the statements that the driver has prepared. */
const REMOVES_PREPARED = startsWith(String.raw`(?:discard|deallocate)\b`);

const ENDING = startsWith(String.raw`(?:commit|end|rollback|abort)\b`);

/** PostgreSQL drops empty statements in front. */
function startsWith(pattern: string): RegExp {
  return new RegExp(`^(?:${SPACE}|;)*(?:${pattern})`, "i");
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
  if (!("text" in part) || !MAY_BE_REFUSED.test(part.text)) return undefined;
  const code = codeOf(part.text);
  return refusals.find(([, pattern]) => pattern.test(code));
}

/**
 * Whether the statement may end the transaction by its own text. The server then commits the statements behind it on
 * their own, also behind a ROLLBACK.
 */
export function mayEnd(part: FlightPart): boolean {
  return "text" in part && ENDING.test(part.text) && !returnsToSavepoint(part);
}

/** Whether the statement begins a transaction, where none is open. */
export function mayBegin(part: FlightPart): boolean {
  return "text" in part && BEGINNING.test(part.text);
}

/**
 * Whether the statement may leave state on its connection that its command tag does not show: see `lasting_state.ts` for
 * what the tag shows.
 */
export function leavesState(part: FlightPart): boolean {
  return "text" in part &&
    (LEAVES_STATE.test(part.text) || REMOVES_PREPARED.test(part.text));
}

/**
 * Whether a read-only transaction of the statement leaves the connection as it found it, so that others may be on it at the
 * same time.
 */
export function isPlainRead(part: FlightPart): boolean {
  return "text" in part && part.portal === undefined && READING.test(part.text) &&
    !LEAVES_STATE.test(part.text) && !HIDES_NAMES.test(part.text);
}

/** Whether it is ROLLBACK TO SAVEPOINT, whose command tag is that of ROLLBACK. */
export function returnsToSavepoint(part: FlightPart): boolean {
  return "text" in part && TO_SAVEPOINT.test(part.text);
}
