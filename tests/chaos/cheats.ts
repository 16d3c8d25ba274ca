/** Wrong ways to settle a lost COMMIT, by which the run shows that it would notice. */
import { INCARNATION, type ResolveCommit, resolveCommit } from "../../src/db/mod.ts";

export const CHEATS = [
  /** Takes every lost COMMIT as rolled back, and runs the unit again. */
  "blind",
  /** Settles nothing: every lost COMMIT is of unknown outcome. */
  "none",
  /** Believes a transaction id whatever has become of the server in between. */
  "incarnation",
] as const;

export type Cheat = typeof CHEATS[number];

const SETTLES: Readonly<Record<Cheat, ResolveCommit>> = {
  blind: () => Promise.resolve({ outcome: "rolled back" }),
  none: () => Promise.resolve({ outcome: "unknown", reason: "not told" }),
  incarnation: settleById,
};

/** What a database is made with to settle as the cheat says; as ever, without one. */
export function settlementOf(cheat: Cheat | undefined): { resolveCommit?: ResolveCommit } {
  return cheat === undefined ? {} : { resolveCommit: SETTLES[cheat] };
}

/** Asks as ever, but takes whatever server is there for the one of before. */
export async function settleById(
  ...[identity, surroundings]: Parameters<ResolveCommit>
): ReturnType<ResolveCommit> {
  if (identity === undefined) return await resolveCommit(identity, surroundings);
  const knowing: typeof surroundings.acquire = async (options) => {
    const lease = await surroundings.acquire(options);
    const { results } = await lease.connection.flight([
      { text: `select ${INCARNATION} as incarnation`, values: [] },
    ]);
    now = String(results[0]?.rows[0]?.["incarnation"]);
    return lease;
  };
  let now = identity.incarnation;
  const believing = {
    xid: identity.xid,
    get incarnation() {
      return now;
    },
  };
  return await resolveCommit(believing, { ...surroundings, acquire: knowing });
}
