/** Reads that a replica was allowed to answer, and for which the primary was asked: how many, by the reason. */
export interface ReplicaFallbacks {
  /** At the transaction's isolation level no replica answers. */
  isolation: number;
  /** The caller's position is `ONLY_PRIMARY`, or of another cluster than the primary's. */
  position: number;
  /** No position is known that the primary had within `maxStalenessMs`: nothing could bound the age of an answer. */
  unmarked: number;
  /** The replica that was asked was too far behind, or all were known to be. */
  behind: number;
  /** The replica that was asked failed, or all had failed shortly before. */
  unavailable: number;
  /** The replica answered by an error that the primary need not have, such as a conflict with what it replays. */
  error: number;
}

export function noFallbacks(): ReplicaFallbacks {
  return { isolation: 0, position: 0, unmarked: 0, behind: 0, unavailable: 0, error: 0 };
}
