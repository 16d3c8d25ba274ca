/** The faults. Each is a function from a strike to the bytes that the relay passes on in place of the message. */
import type { Direction } from "../../src/library/testing/relay/relay_link.ts";
import { Refusal } from "../../src/library/testing/relay/relay.ts";
import type { FaultConnection } from "./fault_connection.ts";
import type { SeenMessage } from "./fault_points.ts";
import { concat, encodeMessage, type MessageKind, strings } from "./wire_messages.ts";

/** One application of a fault, to a message or to a moment without one. */
export interface Strike {
  readonly connection: FaultConnection;
  /** Undefined at `dial` and `upgrade`. */
  readonly message: SeenMessage | undefined;
  /** The bytes of the message; empty without one. */
  readonly bytes: Uint8Array;
  /** Resolves when the test calls `release()`. */
  readonly released: Promise<void>;
}

/** Until it has finished, no other message passes in the same direction. */
export type Fault = (strike: Strike) => AsyncIterable<Uint8Array>;

/** Changes nothing. With it a test can wait for a message. */
export function pass(): Fault {
  return async function* ({ bytes }) {
    yield bytes;
  };
}

/** Delays the message and everything behind it. */
export function delay(ms: number): Fault {
  return async function* ({ connection, bytes }) {
    await connection.wait(ms);
    yield bytes;
  };
}

/**
 * Holds the message and everything behind it until the fault is released, even if the sender has left. At `dial` the
 * relay does not read from the client yet, so that it notices a client's leaving only after the release.
 */
export function hold(): Fault {
  return async function* ({ connection, bytes, released }) {
    await connection.during(released);
    yield bytes;
  };
}

/** Cuts both sides. Everything before the message has passed, the message has not. */
export function dropBefore(options?: { reset?: boolean }): Fault {
  return instead(({ connection }) => connection.cut(options));
}

/** Passes the message, then cuts both sides. */
export function dropAfter(options?: { reset?: boolean }): Fault {
  return async function* ({ connection, bytes }) {
    yield bytes;
    connection.cut(options);
  };
}

/** Ends the stream of one direction before the message. The other direction goes on. */
export function halfClose(direction: Direction): Fault {
  return async function* ({ connection, bytes }) {
    connection.halfClose(direction);
    yield bytes;
  };
}

/** Stops both directions until the connection is thawed. The message is the first to wait. */
export function freeze(): Fault {
  return async function* ({ connection, bytes }) {
    connection.freeze();
    yield bytes;
  };
}

/** For `dial`: answers with an HTTP status in place of the WebSocket, or resets the TCP connection. */
export function refuse(how: number | "reset"): Fault {
  return instead(({ connection }) => {
    if (how !== "reset") throw new Refusal(how, `Refused by a fault with ${how}`);
    connection.cut({ reset: true });
  });
}

function instead(effect: (strike: Strike) => void): Fault {
  return async function* (strike) {
    effect(strike);
    yield new Uint8Array(0);
  };
}

/** Passes each byte of the message on its own. */
export function trickle(): Fault {
  return async function* ({ bytes }) {
    for (let index = 0; index < bytes.length; index++) yield bytes.slice(index, index + 1);
  };
}

/** Passes changed bytes in place of the message. */
export function mutate(change: (bytes: Uint8Array) => Uint8Array): Fault {
  return async function* ({ bytes }) {
    yield change(bytes.slice());
  };
}

/** The error that `answer` sends in the server's place. */
export interface Answer {
  /** Default `ERROR`. */
  readonly severity?: "ERROR" | "FATAL" | "PANIC";
  readonly sqlState: string;
  readonly message: string;
}

/** A statement that fails on every server, with an error that cannot be taken for another. */
const REFUSED_STATEMENT = "fault_relay_refused_statement";

/**
 * Answers the client with an error. The server's state follows what the client is told:
 * - At a message of the client, the server does not get the message. For an ERROR it gets a statement that fails in its
 *   place, so that its transaction is aborted too; a COMMIT (at its Parse or Bind) becomes a ROLLBACK. For FATAL the server
 *   answers everything before the message, and its connection ends. During the login every error ends the connection.
 * - At a message of the server, the error replaces the message and the rest of the answer. The server has done the
 *   flight. After FATAL the connection ends.
 */
export function answer(said: Answer): Fault {
  const error = errorResponse(said);
  const isFatal = said.severity === "FATAL" || said.severity === "PANIC";
  return async function* ({ connection, message, bytes }) {
    if (message === undefined) throw new TypeError("Cannot answer where there is no message");
    if (message.direction === "toClient") {
      const isLast = message.kind === "ReadyForQuery";
      if (!isFatal && !isLast) connection.skipToReady();
      yield isLast && !isFatal ? concat([error, bytes]) : error;
      if (isFatal) connection.dismiss();
    } else if (!IN_FLIGHT.includes(message.kind)) {
      connection.endWith(error);
    } else if (isFatal) {
      yield concat([encodeMessage("H", ""), encodeMessage("X", "")]);
      connection.endWith(error);
    } else if (/^\s*commit\b/i.test(message.statement)) {
      connection.replace(/^ROLLBACK$/, error);
      yield restated(message, "rollback");
    } else {
      connection.replace(new RegExp(REFUSED_STATEMENT), error);
      yield restated(message, REFUSED_STATEMENT);
    }
  };
}

/** Messages that a server accepts after the login. */
const IN_FLIGHT: readonly MessageKind[] = ["Parse", "Bind", "Describe", "Execute", "Sync", "Query"];

/** The message, changed so that the server parses another statement. */
function restated({ kind, bytes }: SeenMessage, statement: string): Uint8Array {
  if (kind === "Query") return encodeMessage("Q", `${statement}\0`);
  const name = kind === "Parse" ? strings(bytes.subarray(5))[0] : "";
  const parse = encodeMessage("P", `${name}\0${statement}\0\0\0`);
  // The server's ParseComplete, which the client has not asked for, does it no harm.
  if (kind === "Bind") return concat([parse, encodeMessage("B", "\0\0\0\0\0\0\0\0")]);
  // Without its Sync the server would send no further ReadyForQuery.
  return kind === "Sync" ? concat([parse, bytes]) : parse;
}

function errorResponse({ severity = "ERROR", sqlState, message }: Answer): Uint8Array {
  return encodeMessage(
    "E",
    `S${severity}\0V${severity}\0C${sqlState}\0M${message}\0\0`,
  );
}
