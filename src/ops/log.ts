/** Writes one JSON object per line: warnings and errors to standard error, the rest to standard output. */

import { LOG_LEVELS, type LogLevel } from "../settings/log_level.ts";

export type Log = Readonly<Record<LogLevel, (event: string, fields?: LogFields) => void>>;

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly write?: (line: string, level: LogLevel) => void;
  /** Fields that are added to every line, such as the trace id. Called for each line. */
  readonly context?: () => LogFields;
}

/** A log that drops lines below `level`. */
export function createLog(
  level: LogLevel,
  { write = writeToConsole, context = () => ({}) }: LogOptions = {},
): Log {
  const lowest = LOG_LEVELS.indexOf(level);
  const entries = LOG_LEVELS.map((name, rank) => [
    name,
    rank < lowest ? () => {} : (event: string, fields: LogFields = {}) => {
      const line = { time: new Date().toISOString(), level: name, event, ...context(), ...fields };
      write(
        JSON.stringify(line, (_, value) => value instanceof Error ? errorFields(value) : value),
        name,
      );
    },
  ]);
  return Object.fromEntries(entries);
}

function writeToConsole(line: string, level: LogLevel): void {
  if (level === "error" || level === "warn") console.error(line);
  else console.log(line);
}

/** SQLSTATE class of data exceptions: the server's message repeats the value that it could not read. */
const DATA_EXCEPTION = /^22/;
const HIDDEN = "(hidden, as it may contain a value)";

/** Includes up to four causes, because the innermost one is often the real reason. */
function errorFields(error: Error, depth = 0): LogFields {
  const { sqlState } = error as { sqlState?: unknown };
  const hides = typeof sqlState === "string" && DATA_EXCEPTION.test(sqlState);
  const shown = (text = "") => hides ? text.replaceAll(error.message, HIDDEN) : text;
  return {
    name: error.name,
    message: shown(error.message),
    ...(sqlState === undefined ? {} : { sqlState }),
    ...(depth === 0 ? { stack: shown(error.stack) } : {}),
    ...(error.cause instanceof Error && depth < 4
      ? { cause: errorFields(error.cause, depth + 1) }
      : {}),
  };
}
