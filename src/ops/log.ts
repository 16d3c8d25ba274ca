/** One JSON object per line on standard error or output; nothing else in the service writes there. */

import { LOG_LEVELS, type LogLevel } from "../settings/log_level.ts";

export type Log = Readonly<Record<LogLevel, (event: string, fields?: LogFields) => void>>;

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly write?: (line: string, level: LogLevel) => void;
  /** What every line says besides, of whatever it is written in the course of. */
  readonly about?: () => LogFields;
}

/** A log that drops what is below `level`. */
export function createLog(
  level: LogLevel,
  { write = writeToConsole, about = () => ({}) }: LogOptions = {},
): Log {
  const lowest = LOG_LEVELS.indexOf(level);
  const entries = LOG_LEVELS.map((name, rank) => [
    name,
    rank < lowest ? () => {} : (event: string, fields: LogFields = {}) => {
      const line = { time: new Date().toISOString(), level: name, event, ...about(), ...fields };
      write(
        JSON.stringify(line, (_, value) => value instanceof Error ? describe(value) : value),
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

/** Data exceptions: the server's message repeats the value that it could not read. */
const REPEATS_VALUES = /^22/;
const HIDDEN = "(hidden, as it may hold a value)";

/** Causes are followed a few steps: the innermost one is often the one that tells. */
function describe(error: Error, depth = 0): LogFields {
  const { sqlState } = error as { sqlState?: unknown };
  const hides = typeof sqlState === "string" && REPEATS_VALUES.test(sqlState);
  const shown = (text = "") => hides ? text.replaceAll(error.message, HIDDEN) : text;
  return {
    name: error.name,
    message: shown(error.message),
    ...(sqlState === undefined ? {} : { sqlState }),
    ...(depth === 0 ? { stack: shown(error.stack) } : {}),
    ...(error.cause instanceof Error && depth < 4
      ? { cause: describe(error.cause, depth + 1) }
      : {}),
  };
}
