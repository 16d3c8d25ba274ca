/** Client sockets that fail at a chosen moment, for failures that a server cannot be made to cause on demand. */
import { Buffer } from "node:buffer";
import { DatabaseWebSocket } from "../../library/deno/database_websocket.ts";

/** COMMIT's statement on the wire: its text and a terminating zero. */
const COMMIT = "commit\0";

export interface Faults {
  readonly webSocketConstructor: typeof DatabaseWebSocket;
  /**
   * Cuts the connection that sends the next COMMIT when the answer arrives: the server has committed, and the client
   * gets no answer.
   */
  loseNextCommitAnswer(): void;
  /** Sockets that are open now read nothing until they next send, as in a frozen isolate. */
  freezeUntilUsed(): void;
}

export function faultyWebSockets(): Faults {
  const open = new Set<FaultyWebSocket>();
  let isArmed = false;

  class FaultyWebSocket extends DatabaseWebSocket {
    #losesAnswer = false;

    constructor(url: string) {
      super(url);
      this.once("open", () => open.add(this));
      this.once("close", () => open.delete(this));
    }

    override send(data: Uint8Array): void {
      if (isArmed && Buffer.from(data).includes(COMMIT)) {
        isArmed = false;
        this.#losesAnswer = true;
      }
      super.send(data);
      if (this.isPaused) this.resume();
    }

    override emit(event: string | symbol, ...values: unknown[]): boolean {
      if (event !== "message" || !this.#losesAnswer) return super.emit(event, ...values);
      this.terminate();
      return true;
    }
  }

  return {
    webSocketConstructor: FaultyWebSocket,
    loseNextCommitAnswer: () => isArmed = true,
    freezeUntilUsed: () => open.forEach((socket) => socket.pause()),
  };
}
