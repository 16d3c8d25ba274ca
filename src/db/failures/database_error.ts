/** Finds our error behind the errors of others: an ORM's, a library's, the caller's own. */
import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  ConnectError,
  ConnectionLostError,
  DatabaseLayerError,
  SessionEndedError,
  StatementSkippedError,
} from "../errors.ts";

/** How many errors are looked at, so that a long chain costs no more than a cyclic one. */
const ERRORS_MAX = 20;

/** Where an error holds another one: `cause`; the two properties of `SuppressedError`; `AggregateError.errors`. */
const HOLDERS = ["cause", "suppressed", "error", "errors"] as const;

/**
 * The error of this layer that `error` is or holds, the nearest first. Passes over errors that only report an earlier
 * failure. `undefined` if there is none. Never throws, whatever `error` is.
 */
export function databaseErrorIn(error: unknown): DatabaseLayerError | undefined {
  return errorsIn(error).find((each) => isDatabaseError(each) && !isConsequence(each)) as
    | DatabaseLayerError
    | undefined;
}

/** `error` and what it holds, at most 20, the nearest first. Never throws, whatever `error` is. */
export function errorsIn(error: unknown): readonly unknown[] {
  const found = [error];
  for (let index = 0; index < found.length; index++) {
    for (const held of HOLDERS.flatMap((name) => readProperty(found[index], name))) {
      if (found.length === ERRORS_MAX) return found;
      if (isObject(held) && !found.includes(held)) found.push(held);
    }
  }
  return found;
}

/** Like `instanceof`, for a value that may be a proxy whose traps throw. */
export function isDatabaseError(error: unknown): error is DatabaseLayerError {
  try {
    return error instanceof DatabaseLayerError;
  } catch {
    return false;
  }
}

/** Of any value. Gives `undefined` if a getter or a proxy throws; of an array, its first elements. */
export function readProperty(holder: unknown, name: string): unknown {
  if (!isObject(holder)) return undefined;
  try {
    const value = Reflect.get(holder, name);
    return Array.isArray(value) ? value.slice(0, ERRORS_MAX) : value;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null || typeof value === "function";
}

/** Whether the error only reports an earlier failure, which is its `cause` and counts instead. */
function isConsequence(error: DatabaseLayerError): boolean {
  return error instanceof CommitRolledBackError || error instanceof StatementSkippedError ||
    // The work went on with a session that had been lost. After any other end, that is a mistake of the work's own.
    error instanceof SessionEndedError && LOSSES.some((loss) => error.cause instanceof loss);
}

const LOSSES = [ConnectError, ConnectionLostError, CommitOutcomeUnknownError];
