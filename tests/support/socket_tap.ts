import type { WebSocketConstructor } from "../../src/db/neon/neon_client.ts";

/** Gives hold of the sockets beneath a driver. */
export class SocketTap {
  readonly #sockets: { close(): void }[] = [];
  readonly webSocketConstructor: WebSocketConstructor;

  constructor(WebSocketClass: WebSocketConstructor = WebSocket) {
    const sockets = this.#sockets;
    this.webSocketConstructor = class {
      constructor(url: string) {
        const socket = new WebSocketClass(url) as { close(): void };
        sockets.push(socket);
        return socket;
      }
    };
  }

  /** Closes the newest from this side, which its driver does not know of. */
  close(): void {
    this.#sockets.at(-1)!.close();
  }
}
