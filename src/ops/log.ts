/** One JSON object per line on standard error or output; nothing else in the service writes there. */

const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LEVELS[number];

export type Log = Readonly<Record<LogLevel, (event: string, fields?: LogFields) => void>>;

export type LogFields = Readonly<Record<string, unknown>>;

/** A log that drops what is below `level`. */
export function createLog(
  level: LogLevel,
  write: (line: string, level: LogLevel) => void = writeToConsole,
): Log {
  const lowest = LEVELS.indexOf(level);
  const entries = LEVELS.map((name, rank) => [
    name,
    rank < lowest ? () => {} : (event: string, fields: LogFields = {}) => {
      const line = { time: new Date().toISOString(), level: name, event, ...fields };
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

/** Causes are followed a few steps: the innermost one is often the one that tells. */
function describe(error: Error, depth = 0): LogFields {
  const { sqlState } = error as { sqlState?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(sqlState === undefined ? {} : { sqlState }),
    ...(depth === 0 ? { stack: error.stack } : {}),
    ...(error.cause instanceof Error && depth < 4
      ? { cause: describe(error.cause, depth + 1) }
      : {}),
  };
}
