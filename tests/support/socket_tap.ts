import type { WebSocketConstructor } from "../../src/db/neon/neon_client.ts";

/** Gives a test access to the sockets of a driver. */
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

  /** Closes the newest socket without telling its driver. */
  close(): void {
    this.#sockets.at(-1)!.close();
  }
}
