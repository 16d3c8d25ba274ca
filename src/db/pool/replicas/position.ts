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

/**
 * How many bytes of log a server at `reached` lacks; 0 if it has more than was `written`. `undefined` if the two are not of
 * one cluster and one timeline.
 */
export function bytesBehind(reached: Position, written: Position): number | undefined {
  const lsnOf = (position: Position) => BigInt(`0x${position.slice(-16)}`);
  if (written === ONLY_PRIMARY || reached.slice(0, 17) !== written.slice(0, 17)) return undefined;
  return Math.max(0, Number(lsnOf(written) - lsnOf(reached)));
}
