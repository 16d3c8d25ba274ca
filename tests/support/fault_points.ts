/** Where and when a fault strikes. */
import type { Direction } from "../../src/dev/relay/relay_link.ts";
import type { FaultConnection } from "./fault_connection.ts";
import type { MessageKind, WireMessage } from "./wire_messages.ts";

/** A message as it passes, with the statement it is about. */
export interface SeenMessage extends WireMessage {
  readonly statement: string;
}

interface PointBase {
  /** Its number, or what is true of it. Default: any. */
  readonly connection?: number | ((connection: FaultConnection) => boolean);
  /** Which of all that fit here is the first to be struck, counted from 1 over all connections. Default 1. */
  readonly nth?: number;
  /** How many are struck, from there on. Default 1. */
  readonly times?: number;
}

/** A moment without a message: before the target is dialled, or when the WebSocket is open and nothing has passed. */
export interface MomentPoint<At extends "dial" | "upgrade"> extends PointBase {
  readonly at: At;
}

/** A message that all of what is given here is true of. */
export interface MessagePoint extends PointBase {
  readonly at?: "message";
  readonly direction?: Direction;
  readonly kind?: MessageKind;
  /** Of what the message says itself: see `WireMessage`. */
  readonly text?: RegExp;
  /** Of the statement it is about, or, for Sync and its ReadyForQuery, of the flight's: see `Conversation`. */
  readonly statement?: RegExp;
  readonly where?: (message: SeenMessage, connection: FaultConnection) => boolean;
}

export type Point = MomentPoint<"dial"> | MomentPoint<"upgrade"> | MessagePoint;

/** Whether a moment (no message) or a message of a connection is at the point; `nth` and `times` aside. */
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

/** A BEGIN on its way, whatever its case. */
export const BEGIN = { direction: "toServer", kind: "Parse", text: /^\s*begin\b/i } as const;

/** A COMMIT that the server has not seen yet. */
export const COMMIT = { direction: "toServer", kind: "Parse", text: /^\s*commit\b/i } as const;

/** The message that makes a server commit: dropped after it was passed on, the answer is lost. */
export const COMMIT_EXECUTE = {
  direction: "toServer",
  kind: "Execute",
  statement: /^\s*commit\b/i,
} as const;

/** A server's word that it has committed. */
export const COMMITTED = {
  direction: "toClient",
  kind: "CommandComplete",
  text: /^COMMIT$/,
} as const;
