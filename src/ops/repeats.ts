/** Summarises repeated warnings and errors, so that an attack cannot make the log a load of its own. */
import { type Clock, systemClock } from "../db/mod.ts";
import type { LogLevel } from "../settings/log_level.ts";
import type { Log, LogFields } from "./log.ts";

/** Lines of one kind that are written at once. Later ones are counted until the kind has paused for a whole window. */
const WRITTEN_AT_ONCE = 5;

export const WINDOW_MS = 10_000;

/** Kinds that are counted apart at the same time. All further ones count as one kind. */
const MAX_KINDS = 100;

export interface SummarisingLog {
  readonly log: Log;
  /** Writes the summaries that are due later, and counts from the start. */
  flush(): void;
}

/**
 * A log that writes the first lines of each kind of warning and error, then one summary per window: the latest line of
 * the kind, with the number of lines that it stands for as `repeated`. Lower levels pass through. Lines are of one kind
 * if they agree in event, status, route, kind of error and reason; numbers within a reason do not count.
 */
export function summarised(
  log: Log,
  { clock = systemClock }: { clock?: Clock } = {},
): SummarisingLog {
  const kinds = new Map<string, Kind>();

  const endWindow = (key: string, kind: Kind) => {
    if (kind.repeated === 0) return void kinds.delete(key);
    write(log, kind);
    kind.cancel = clock.after(WINDOW_MS, () => endWindow(key, kind));
  };

  const summarise = (level: LogLevel) => (event: string, fields: LogFields = {}) => {
    const wanted = keyOf(level, event, fields);
    const key = kinds.has(wanted) || kinds.size < MAX_KINDS ? wanted : OTHERS;
    let kind = kinds.get(key);
    if (kind === undefined) {
      kind = { written: 0, repeated: 0, latest: { level, event, fields }, cancel: () => {} };
      kinds.set(key, kind);
      const opened = kind;
      kind.cancel = clock.after(WINDOW_MS, () => endWindow(key, opened));
    }
    if (kind.written < WRITTEN_AT_ONCE) {
      kind.written++;
      return log[level](event, fields);
    }
    kind.repeated++;
    kind.latest = { level, event, fields };
  };

  return {
    log: { ...log, warn: summarise("warn"), error: summarise("error") },
    flush() {
      for (const kind of kinds.values()) {
        kind.cancel();
        if (kind.repeated > 0) write(log, kind);
      }
      kinds.clear();
    },
  };
}

const OTHERS = "others";

interface Kind {
  written: number;
  /** Since the last line of this kind. */
  repeated: number;
  latest: { readonly level: LogLevel; readonly event: string; readonly fields: LogFields };
  cancel: () => void;
}

function write(log: Log, kind: Kind): void {
  const { level, event, fields } = kind.latest;
  log[level](event, { ...fields, repeated: kind.repeated, withinMs: WINDOW_MS });
  kind.repeated = 0;
}

function keyOf(level: LogLevel, event: string, fields: LogFields): string {
  const { status, route, error, reason } = fields;
  const thrown = error instanceof Error
    ? `${error.name} ${(error as { sqlState?: unknown }).sqlState ?? ""}`
    : "";
  const words = typeof reason === "string" ? reason.slice(0, 200).replace(/\d+/g, "0") : "";
  return [level, event, status, route, thrown, words].join(" ");
}
