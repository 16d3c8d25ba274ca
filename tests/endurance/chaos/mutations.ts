/** Wrong ways to resolve a lost COMMIT. A run with one of them must fail: so the run shows that it would notice. */
import { INCARNATION } from "../../../src/db/session/xid.ts";
import { type ResolveCommit, resolveCommit } from "../../../src/db/session/commit_outcome.ts";

const WRONG_WAYS = {
  /** Takes every lost COMMIT for rolled back, so that the unit is repeated. */
  blind: () => Promise.resolve({ outcome: "rolled back" }),
  /** Resolves nothing: every lost COMMIT is of unknown outcome. */
  none: () => Promise.resolve({ outcome: "unknown", reason: "not told" }),
  /** Believes in a transaction id whatever has happened to the server since. */
  incarnation: resolveByXidAlone,
} as const satisfies Readonly<Record<string, ResolveCommit>>;

export type Mutation = keyof typeof WRONG_WAYS;

export const MUTATIONS = Object.keys(WRONG_WAYS) as Mutation[];

/** The options by which a database resolves lost COMMITs in the mutation's way; none without a mutation. */
export function resolutionOf(mutation: Mutation | undefined): { resolveCommit?: ResolveCommit } {
  return mutation === undefined ? {} : { resolveCommit: WRONG_WAYS[mutation] };
}

/** Asks the server as `resolveCommit` does, but takes the present incarnation of the server for the transaction's own. */
export async function resolveByXidAlone(
  ...[identity, surroundings]: Parameters<ResolveCommit>
): ReturnType<ResolveCommit> {
  if (identity === undefined) return await resolveCommit(identity, surroundings);
  let { incarnation } = identity;
  const acquire: typeof surroundings.acquire = async (options) => {
    const lease = await surroundings.acquire(options);
    const { results } = await lease.connection.flight([
      { text: `select ${INCARNATION} as incarnation`, values: [] },
    ]);
    incarnation = String(results[0]?.rows[0]?.["incarnation"]);
    return lease;
  };
  const believed = {
    xid: identity.xid,
    get incarnation() {
      return incarnation;
    },
  };
  return await resolveCommit(believed, { ...surroundings, acquire });
}
