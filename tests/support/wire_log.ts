/** The messages that a driver sends, one list for each WebSocket message. */
import type { RelayObserver } from "../../src/library/testing/relay/relay.ts";
import { connectionSplitter, strings, type WireMessage } from "./wire_messages.ts";

export class WireLog {
  readonly observe: RelayObserver;
  #sent: WireMessage[][] = [];

  constructor() {
    const split = connectionSplitter();
    this.observe = {
      message: (id, direction, bytes) => {
        const messages = split(id, direction, bytes);
        if (direction === "toServer") this.#sent.push(messages);
      },
    };
  }

  /** What was sent since the last call: kinds, with `*` for those that name a prepared statement. */
  take(): string[] {
    return this.#take().map((messages) =>
      messages.map(({ kind, bytes }) => kind + (nameIn(kind, bytes) === "" ? "" : "*")).join(" ")
    );
  }

  /** The names of the prepared statements in messages of a kind since the last call, and the texts of the Parses. */
  takeNames(kind: "Parse" | "Bind" | "Close"): [name: string, text: string][] {
    return this.#take().flat()
      .filter((message) => message.kind === kind)
      .map((message) => [nameIn(kind, message.bytes), message.text] as [string, string])
      .filter(([name]) => name !== "");
  }

  #take(): WireMessage[][] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }
}

/** The name of the prepared statement in a message; empty if there is none. */
export function nameIn(kind: string, bytes: Uint8Array): string {
  const body = bytes.subarray(5);
  if (kind === "Parse") return strings(body)[0]!;
  if (kind === "Bind") return strings(body)[1]!;
  const isStatement = body[0] === "S".charCodeAt(0);
  if ((kind === "Close" || kind === "Describe") && isStatement) {
    return strings(body.subarray(1))[0]!;
  }
  return "";
}
