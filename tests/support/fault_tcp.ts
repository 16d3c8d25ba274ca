/** The side of the fault relay that speaks TCP: a client's socket takes the place of its WebSocket. */
import { EventEmitter } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";
import type { RelayTarget } from "../../src/library/testing/relay/relay.ts";
import type { Link } from "../../src/library/testing/relay/relay_link.ts";

/** What a `Link` uses of a WebSocket, over a TCP socket: the close frame is the end of the stream. */
class TcpClient extends EventEmitter {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (bytes) => this.emit("message", bytes, true));
    socket.on("error", (error) => this.emit("error", error));
    socket.on("close", () => this.emit("close"));
  }

  get readyState(): number {
    return this.#socket.destroyed ? WebSocket.CLOSED : WebSocket.OPEN;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  send(bytes: Uint8Array, sent: () => void): void {
    this.#socket.write(bytes, sent);
  }

  close(): void {
    this.#socket.end();
  }

  terminate(): void {
    this.#socket.destroy();
  }
}

export interface TcpFront extends AsyncDisposable {
  readonly port: number;
}

/** Listens on 127.0.0.1, and dials the target for each client that is admitted. */
export async function startTcpFront(
  target: RelayTarget,
  admit: (socket: Socket, signal: AbortSignal) => Promise<Link>,
): Promise<TcpFront> {
  const running = new Map<AbortController, Promise<void>>();
  const server = createServer({ noDelay: true }, (socket) => {
    const controller = new AbortController();
    // The client may have left, or a fault has refused it.
    const done = carry(socket, controller.signal)
      .catch(() => {})
      .finally(() => {
        socket.destroy();
        running.delete(controller);
      });
    running.set(controller, done);
  });

  async function carry(socket: Socket, signal: AbortSignal): Promise<void> {
    socket.on("error", () => {});
    const link = await admit(socket, signal);
    const connection = await Deno.connect({ ...target, signal });
    connection.setNoDelay(true);
    if (socket.destroyed) return connection.close();
    await link(new TcpClient(socket) as unknown as WebSocket, connection, { signal });
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const freed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const controller of running.keys()) controller.abort();
      await Promise.all(running.values());
      await freed;
    },
  };
}
