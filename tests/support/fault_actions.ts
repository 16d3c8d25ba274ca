/** What a fault does. Each is a function from a strike to the bytes that pass in place of the message struck. */
import type { Direction } from "../../src/dev/relay/relay_link.ts";
import { Refusal } from "../../src/dev/relay/relay.ts";
import type { FaultConnection } from "./fault_connection.ts";
import type { SeenMessage } from "./fault_points.ts";
import { concat, encodeMessage, type MessageKind, strings } from "./wire_messages.ts";

/** One fault meeting one moment of one connection. */
export interface Strike {
  readonly connection: FaultConnection;
  /** None at `dial` and `upgrade`. */
  readonly message: SeenMessage | undefined;
  /** The message's; empty without one. */
  readonly bytes: Uint8Array;
  /** Resolves when the test says so. */
  readonly released: Promise<void>;
}

/** Nothing else passes in the same direction until it is done. */
export type Fault = (strike: Strike) => AsyncIterable<Uint8Array>;

/** Changes nothing: a way to wait for a moment. */
export function pass(): Fault {
  return async function* ({ bytes }) {
    yield bytes;
  };
}

/** Passes the message late, and what comes behind it. */
export function delay(ms: number): Fault {
  return async function* ({ connection, bytes }) {
    await connection.wait(ms);
    yield bytes;
  };
}

/**
 * Keeps the message, and what comes behind it, until the fault is released, even if its sender has left. At `dial`
 * nobody reads from the client yet, so that one who leaves is noticed only after the release.
 */
export function hold(): Fault {
  return async function* ({ connection, bytes, released }) {
    await connection.during(released);
    yield bytes;
  };
}

/** Cuts both sides; what went before the message has passed, the message has not. */
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

/** Ends one stream before the message; the other one goes on. */
export function halfClose(direction: Direction): Fault {
  return async function* ({ connection, bytes }) {
    connection.halfClose(direction);
    yield bytes;
  };
}

/** Nothing passes any more, either way, until the connection is thawed. The message is the first to wait. */
export function freeze(): Fault {
  return async function* ({ connection, bytes }) {
    connection.freeze();
    yield bytes;
  };
}

/** At `dial`: an HTTP answer in place of the WebSocket, or a TCP reset. */
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

/** Passes every byte of the message on its own. */
export function trickle(): Fault {
  return async function* ({ bytes }) {
    for (let index = 0; index < bytes.length; index++) yield bytes.slice(index, index + 1);
  };
}

/** Passes other bytes in place of the message's own. */
export function mutate(change: (bytes: Uint8Array) => Uint8Array): Fault {
  return async function* ({ bytes }) {
    yield change(bytes.slice());
  };
}

/** What `answer` has the server say. */
export interface Answer {
  /** Default `ERROR`. */
  readonly severity?: "ERROR" | "FATAL" | "PANIC";
  readonly sqlState: string;
  readonly message: string;
}

/** A statement that no server knows, by which its complaint can be told from others. */
const REFUSED_STATEMENT = "fault_relay_refused_statement";

/**
 * Has the server answer with an error. What the client sees and what the server holds stay in step:
 * - at a message of the client, it never arrives. For an ERROR the server is sent something else that
 *   fails, so its transaction is truly aborted; a COMMIT (at its Parse) becomes a ROLLBACK. For FATAL the server
 *   answers what went before, and its connection ends; during the login every error ends it.
 * - at a message of the server, the error stands in place of it and of the rest of the answer, and what the
 *   flight did is done. After FATAL the connection ends.
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
    } else if (/^\s*commit\b/i.test(message.text)) {
      connection.replace(/^ROLLBACK$/, error);
      yield restated(message, "rollback");
    } else {
      connection.replace(new RegExp(REFUSED_STATEMENT), error);
      yield restated(message, REFUSED_STATEMENT);
    }
  };
}

/** What a server takes once the login is over. */
const IN_FLIGHT: readonly MessageKind[] = ["Parse", "Bind", "Describe", "Execute", "Sync", "Query"];

/** A message that has the server read another statement in its place. */
function restated({ kind, bytes }: SeenMessage, statement: string): Uint8Array {
  if (kind === "Query") return encodeMessage("Q", `${statement}\0`);
  const name = kind === "Parse" ? strings(bytes.subarray(5))[0] : "";
  const parse = encodeMessage("P", `${name}\0${statement}\0\0\0`);
  // Without its Sync a server would never say that it is ready again.
  return kind === "Sync" ? concat([parse, bytes]) : parse;
}

function errorResponse({ severity = "ERROR", sqlState, message }: Answer): Uint8Array {
  return encodeMessage(
    "E",
    `S${severity}\0V${severity}\0C${sqlState}\0M${message}\0\0`,
  );
}
