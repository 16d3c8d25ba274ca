/** Sockets that fail at a chosen moment, where no server can be made to. */
import { Buffer } from "node:buffer";
import { DatabaseWebSocket } from "../../deno/database_websocket.ts";

/** A COMMIT's statement as it is on the wire: a text and the zero behind it. */
const COMMIT = "commit\0";

export interface Faults {
  readonly webSocketConstructor: typeof DatabaseWebSocket;
  /** Cuts the connection that sends the next COMMIT, as the answer arrives: the server has done it, and nobody hears. */
  loseNextCommitAnswer(): void;
  /** What arrives on the sockets that are open now is not read before they are used again, as in a frozen isolate. */
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
