/** What clients were told of each unit, to be held against the ledger. */
import type { Window } from "./mischief.ts";

/**
 * `gone` is a request whose client went away; `silence` is one that ended without the app's answer; `hung` is one that
 * was not over in time.
 */
export const TOLD = ["done", "failed", "unknown", "gone", "silence", "hung"] as const;

export type Told = typeof TOLD[number];

export interface Entry {
  readonly id: number;
  readonly told: Told;
}

/** How the ledger disagrees with what clients were told. */
export interface BookFaults {
  /** Told as done, and not there. */
  readonly lost: number;
  /** There more than once. */
  readonly twice: number;
  /** Told as failed for certain, and there. */
  readonly falseFailures: number;
}

/** `rows`: the units of all rows of the ledger. */
export function audit(entries: readonly Entry[], rows: Iterable<number>): BookFaults {
  const times = new Map<number, number>();
  for (const unit of rows) times.set(unit, (times.get(unit) ?? 0) + 1);
  const isThere = ({ id }: Entry) => times.has(id);
  return {
    lost: entries.filter((each) => each.told === "done" && !isThere(each)).length,
    twice: [...times.values()].filter((count) => count > 1).length,
    falseFailures: entries.filter((each) => each.told === "failed" && isThere(each)).length,
  };
}

/** How many of them overlap a stop of the server, and how many do not. */
export function split(
  windows: readonly Window[],
  stops: readonly Window[],
): { readonly calm: number; readonly inStops: number } {
  const inStops =
    windows.filter(({ fromMs, toMs }) =>
      stops.some((stop) => stop.fromMs <= toMs && fromMs <= stop.toMs)
    ).length;
  return { calm: windows.length - inStops, inStops };
}
