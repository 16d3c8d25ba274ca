/** The points at which faults strike. */
import type { Direction } from "../../src/library/testing/relay/relay_link.ts";
import type { FaultConnection } from "./fault_connection.ts";
import type { MessageKind, WireMessage } from "./wire_messages.ts";

/** A message in the relay, with the statement that it is about. */
export interface SeenMessage extends WireMessage {
  readonly statement: string;
}

interface PointBase {
  /** The number of the connection, or a predicate. Default: any connection. */
  readonly connection?: number | ((connection: FaultConnection) => boolean);
  /** The number of the first match that is struck, counted from 1 over all connections. Default 1. */
  readonly nth?: number;
  /** How many matches are struck, from `nth` on. Default 1. */
  readonly times?: number;
}

/** A moment without a message: `dial` is before the target is dialled, `upgrade` before the first byte passes. */
export interface MomentPoint<At extends "dial" | "upgrade"> extends PointBase {
  readonly at: At;
}

/** A message that meets every condition given here. */
export interface MessagePoint extends PointBase {
  readonly at?: "message";
  readonly direction?: Direction;
  readonly kind?: MessageKind;
  /** Matches `WireMessage.text`. */
  readonly text?: RegExp;
  /** Matches the statement; for Sync and its ReadyForQuery the flight's statements. See `Conversation`. */
  readonly statement?: RegExp;
  readonly where?: (message: SeenMessage, connection: FaultConnection) => boolean;
}

export type Point = MomentPoint<"dial"> | MomentPoint<"upgrade"> | MessagePoint;

/** Whether a message, or a moment without one, is at the point. Does not look at `nth` and `times`. */
export function isAt(
  point: Point,
  { connection, moment, message }: {
    connection: FaultConnection;
    moment: NonNullable<Point["at"]>;
    message?: SeenMessage | undefined;
  },
): boolean {
  const { connection: chosen = connection.id } = point;
  if ((point.at ?? "message") !== moment) return false;
  if (typeof chosen === "number" ? chosen !== connection.id : !chosen(connection)) return false;
  if (point.at === "dial" || point.at === "upgrade" || message === undefined) return true;
  const { direction = message.direction, kind = message.kind, text, statement, where } = point;
  return direction === message.direction && kind === message.kind &&
    (text?.test(message.text) ?? true) && (statement?.test(message.statement) ?? true) &&
    (where?.(message, connection) ?? true);
}

/** A statement that the server has not bound. It has parsed it, now or earlier: a prepared statement has one Parse for many Binds. */
export function bindOf(statement: RegExp) {
  return { direction: "toServer", kind: "Bind", statement } as const;
}

/** A BEGIN that the server has not run, in upper or lower case. */
export const BEGIN = bindOf(/^\s*begin\b/i);

/** A COMMIT that the server has not run. */
export const COMMIT = bindOf(/^\s*commit\b/i);

/** The message by which a server commits. A connection that is cut after it loses the answer. */
export const COMMIT_EXECUTE = {
  direction: "toServer",
  kind: "Execute",
  statement: /^\s*commit\b/i,
} as const;

/** The server's answer that it has committed. */
export const COMMITTED = {
  direction: "toClient",
  kind: "CommandComplete",
  text: /^COMMIT$/,
} as const;
