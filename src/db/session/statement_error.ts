/** Adds to an error what the server does not know: the text of the statement, and the author's code that ran it. */
import type { FlightAnswer, FlightPart } from "../driver/driver.ts";
import { ownParts } from "../driver/own_parts.ts";
import { DatabaseLayerError, ServerError } from "../errors.ts";

/** The function of PostgreSQL that refuses a statement inside a transaction. Unlike its message, it is not translated. */
const REFUSES_IN_TRANSACTION = "PreventInTransactionBlock";
/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const INVALID_TRANSACTION_TERMINATION = "2D000";

/** Sets the text of the statement that failed on the answer's error, and names the way out if there is one. */
export function describeError(
  { results, error, isUnlocated }: FlightAnswer,
  parts: readonly FlightPart[],
): void {
  if (!(error instanceof ServerError)) return;
  error.statement = textOf(
    isUnlocated
      ? onlyOneOf(parts)
      // Each part that ran has a result. With a result for each part, the commit after the last one has failed.
      : parts[results.length] ?? parts.at(-1),
  );
  const wayOut = wayOutOf(error);
  if (wayOut !== undefined) error.message += `; ${wayOut}`;
}

/** The caller's statement, if it is alone. */
function onlyOneOf(parts: readonly FlightPart[]): FlightPart | undefined {
  const own = ownParts(parts);
  return own.length === 1 ? own[0] : undefined;
}

function textOf(part: FlightPart | undefined): string | undefined {
  if (part === undefined) return undefined;
  if ("text" in part) return part.text;
  return "fetch" in part ? part.statementText : undefined;
}

function wayOutOf({ routine, sqlState }: ServerError): string | undefined {
  if (routine === REFUSES_IN_TRANSACTION) {
    return "it has to stand outside a transaction: run it alone by `db.run(statement)`";
  }
  if (sqlState === INVALID_TRANSACTION_TERMINATION) {
    return "only a procedure called by CALL, or a DO block, may commit or roll back, and only outside a transaction: " +
      "run that alone by `db.run(statement)`";
  }
  return undefined;
}

/**
 * Gives the layer's own errors the stack of the code that awaits the call. They are made in callbacks of the socket or
 * of a timer, whose stacks do not show the author's code. V8 follows the `await`s from here to it, as long as each
 * promise in between is awaited once: https://v8.dev/blog/fast-async. Costs nothing unless a call fails.
 */
export function showCaller(error: unknown): void {
  if (error instanceof DatabaseLayerError) Error.captureStackTrace?.(error, showCaller);
}
