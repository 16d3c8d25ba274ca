/**
 * A place in the write-ahead log of a cluster, as the primary has written it or a standby has replayed it. A standby that
 * has reached the primary's position of after a COMMIT shows the rows of that COMMIT.
 *
 * The text is `CLUSTER-TIMELINE-LSN`, in hexadecimal digits of fixed length, so that the positions of one cluster are
 * ordered as their texts are. Or it is `ONLY_PRIMARY`.
 */
export type Position = string;

/** For a commit whose position is not known: no standby has reached it. */
export const ONLY_PRIMARY: Position = "primary";

/** Whether the text has the form of a position. No server need have given it. */
export function isPosition(text: unknown): text is Position {
  return typeof text === "string" &&
    /^(?:[0-9A-F]{8}-[0-9A-F]{8}-[0-9A-F]{16}|primary)$/.test(text);
}

/**
 * Whether a server at `reached` has all that was written up to `wanted`. Not if they are of two clusters: their order has
 * no meaning.
 */
export function hasReached(reached: Position, wanted: Position): boolean {
  return reached >= wanted && reached.slice(0, 8) === wanted.slice(0, 8);
}
