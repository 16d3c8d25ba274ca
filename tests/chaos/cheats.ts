/** Wrong ways to settle a lost COMMIT, by which the run shows that it would notice. */
import type { DatabaseOptions } from "../../src/db/mod.ts";

export const CHEATS = [
  /** Takes every lost COMMIT as rolled back, and runs the unit again. */
  "blind",
  /** Settles nothing: every lost COMMIT is of unknown outcome. */
  "none",
  /** Believes a transaction id whatever has become of the server in between. */
  "incarnation",
] as const;

export type Cheat = typeof CHEATS[number];

/** What a database is made with to settle as the cheat says; as ever, without one. */
export function settlementOf(cheat: Cheat | undefined): Partial<DatabaseOptions> {
  if (cheat === undefined) return {};
  throw new Error(
    `Cannot cheat as DatabaseOptions has no 'settlement' to replace yet: current value of cheat is ${cheat}`,
  );
}
