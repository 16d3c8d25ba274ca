/** A listener on 127.0.0.1 in front of a server, or in place of one, that ends its connections when it is closed. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export class TcpHop implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = (server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Carries connections to the host and port of the URL. `onClientData` gets the connection's number, from 0. */
  static to(
    url: string,
    { onClientData = () => {}, cut, path }: {
      onClientData?: (index: number, chunk: Uint8Array) => void;
      /** Makes, for each connection, what the client's bytes pass. */
      cut?: () => Duplex;
      /** Listens on a Unix socket in place of a port. */
      path?: string;
    } = {},
  ): Promise<TcpHop> {
    const { hostname, port } = new URL(url);
    let count = 0;
    return TcpHop.#listen((client, track) => {
      const index = count++;
      client.on("data", (chunk) => onClientData(index, chunk as Uint8Array));
      const server = track(connect({ host: hostname, port: Number(port), noDelay: true }));
      (cut === undefined ? client : client.pipe(cut())).pipe(server).pipe(client);
      client.on("close", () => server.destroy());
      server.on("close", () => client.destroy());
    }, path);
  }

  /** Accepts connections, and sends nothing. */
  static silent(): Promise<TcpHop> {
    return TcpHop.#listen((client) => client.resume());
  }

  /** Ends a connection at its first bytes. */
  static vanishing(): Promise<TcpHop> {
    return TcpHop.#listen((client) => client.once("data", () => client.destroy()));
  }

  /** Answers each connection itself. */
  static answering(answer: (client: Socket) => void): Promise<TcpHop> {
    return TcpHop.#listen(answer);
  }

  /** The same URL, by way of this listener. */
  url(url: string): string {
    const through = new URL(url);
    through.hostname = "127.0.0.1";
    through.port = String(this.port);
    return through.href;
  }

  /** Reads nothing more, and keeps the connections open. */
  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** Resolves when the listener and its connections are closed. Safe to call twice. */
  async close(): Promise<void> {
    const freed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await freed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  static async #listen(
    serve: (client: Socket, track: (socket: Socket) => Socket) => void,
    path?: string,
  ): Promise<TcpHop> {
    const sockets = new Set<Socket>();
    const track = (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      return socket;
    };
    const server = createServer({ noDelay: true }, (client) => serve(track(client), track));
    await new Promise<void>((resolve) => {
      if (path !== undefined) server.listen(path, resolve);
      else server.listen(0, "127.0.0.1", resolve);
    });
    return new TcpHop(server, sockets);
  }
}
