/** The open connections of the HTTP server, within bounds: in all, of one client, and of requests on one connection. */
import type { Socket } from "node:net";
import { clientNetwork } from "../client_network.ts";

export interface ConnectionLimits {
  readonly max: number;
  /** Of one IPv4 address or IPv6 /64. A proxy counts as one client. */
  readonly maxPerClient: number;
}

/**
 * Requests that one connection may send ahead of their answers. Browsers and HTTP libraries send none ahead, so that a
 * connection with more is closed.
 */
const MAX_PIPELINED = 32;

/** Idle connections that one look closes. Each takes about 25 µs, and clients that stop at one moment leave many. */
const IDLE_PER_LOOK = 256;

/** Why a connection was closed, or not admitted. */
export type Refused = "full" | "client has too many" | "made room" | "pipelined too much";

/**
 * Admits connections. When all are taken, the one that has been idle for longest makes room, first of those that never
 * finished a request: an attacker who only opens connections loses them, and a client that sends its request is served.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #onRefused: (reason: Refused, client: string) => void;
  readonly #open = new Map<Socket, Connection>();
  readonly #perClient = new Map<string, number>();
  /** Idle connections, those that are idle for longest first: without a finished request, and with one. */
  readonly #unused = new Set<Connection>();
  readonly #used = new Set<Connection>();
  #empty: PromiseWithResolvers<void> | undefined;

  constructor(limits: ConnectionLimits, onRefused: (reason: Refused, client: string) => void) {
    this.#limits = limits;
    this.#onRefused = onRefused;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes the connection, or destroys it. */
  admit(socket: Socket): void {
    const client = clientNetwork(socket.remoteAddress ?? "");
    const ofClient = this.#perClient.get(client) ?? 0;
    if (ofClient >= this.#limits.maxPerClient) {
      this.#onRefused("client has too many", client);
      return void socket.destroy();
    }
    if (this.#open.size >= this.#limits.max && !this.#makeRoom()) {
      this.#onRefused("full", client);
      return void socket.destroy();
    }
    const connection: Connection = {
      socket,
      client,
      waiting: [],
      isBusy: false,
      hasLast: false,
      idleSinceMs: 0,
      bytesRead: 0,
    };
    this.#open.set(socket, connection);
    this.#unused.add(connection);
    this.#perClient.set(client, ofClient + 1);
    socket.once("close", () => this.#remove(connection));
  }

  /** Runs `exchange` after the earlier ones of its connection. After the last one it takes no more. */
  enqueue(socket: Socket, exchange: Exchange, { isLast = false } = {}): void {
    const connection = this.#open.get(socket);
    // Its response could not be written any more.
    if (connection === undefined || connection.hasLast || isOver(socket)) return;
    connection.hasLast = isLast;
    if (!connection.isBusy) return void this.#run(connection, exchange);
    if (connection.waiting.length >= MAX_PIPELINED && !isLast) {
      this.#onRefused("pipelined too much", connection.client);
      // The parser goes on with the bytes that it has; what it finds in them has no connection any more.
      this.#remove(connection);
      return void socket.destroy();
    }
    connection.waiting.push(exchange);
  }

  /** Of those that are open. */
  sockets(): Iterable<Socket> {
    return this.#open.keys();
  }

  /** Destroys those that have waited for longer than this for a further request: 256 at most, and the rest at the next look. */
  destroyIdleFor(limitMs: number, nowMs: number): void {
    let looked = 0;
    for (const connection of this.#used) {
      if (nowMs - connection.idleSinceMs < limitMs || looked++ === IDLE_PER_LOOK) return;
      if (connection.socket.bytesRead === connection.bytesRead) connection.socket.destroy();
      // A request may have begun, whose headers have a limit of their own.
      else this.#becomeIdle(connection, nowMs);
    }
  }

  /** Its time without a request begins now. */
  #becomeIdle(connection: Connection, nowMs: number): void {
    connection.idleSinceMs = nowMs;
    connection.bytesRead = connection.socket.bytesRead;
    this.#used.delete(connection);
    this.#used.add(connection);
  }

  /** Resolves when no connection is open. */
  empty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    this.#empty ??= Promise.withResolvers<void>();
    return this.#empty.promise;
  }

  /** Tells the clients of idle connections that there will be no more responses. */
  endIdle(): void {
    for (const { socket } of this.#idle()) socket.end();
  }

  destroyIdle(): void {
    for (const { socket } of this.#idle()) socket.destroy();
  }

  destroyAll(): void {
    for (const socket of this.#open.keys()) socket.destroy();
  }

  #idle(): Connection[] {
    return [...this.#unused, ...this.#used];
  }

  async #run(connection: Connection, exchange: Exchange): Promise<void> {
    connection.isBusy = true;
    this.#unused.delete(connection);
    this.#used.delete(connection);
    let next: Exchange | undefined = exchange;
    while (next !== undefined && this.#open.has(connection.socket)) {
      // It has its answer within a few turns of the event loop, and then only waits for its client: it makes room as an idle one does.
      if (connection.hasLast && connection.waiting.length === 0) this.#unused.add(connection);
      await next();
      // A client takes what it has sent behind that for not done: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
      if (isOver(connection.socket)) connection.waiting.length = 0;
      next = connection.waiting.shift();
    }
    connection.isBusy = false;
    if (!this.#open.has(connection.socket)) return;
    this.#becomeIdle(connection, performance.now());
  }

  #makeRoom(): boolean {
    const [oldest = undefined] = this.#unused.size > 0 ? this.#unused : this.#used;
    if (oldest === undefined) return false;
    this.#onRefused("made room", oldest.client);
    // Its "close" event comes later; the place is free now.
    this.#remove(oldest);
    oldest.socket.destroy();
    return true;
  }

  #remove(connection: Connection): void {
    const { socket, client } = connection;
    if (!this.#open.delete(socket)) return;
    this.#unused.delete(connection);
    this.#used.delete(connection);
    connection.waiting.length = 0;
    const left = this.#perClient.get(client)! - 1;
    if (left === 0) this.#perClient.delete(client);
    else this.#perClient.set(client, left);
    if (this.#open.size > 0) return;
    this.#empty?.resolve();
    this.#empty = undefined;
  }
}

interface Connection {
  readonly socket: Socket;
  readonly client: string;
  /** Requests that arrived before the answer of the one that runs. */
  readonly waiting: Exchange[];
  isBusy: boolean;
  /** Whether the exchange that closes it has come. */
  hasLast: boolean;
  /** When its last exchange ended, or a later check found that it had sent something since. */
  idleSinceMs: number;
  /** What it had sent by `idleSinceMs`. */
  bytesRead: number;
}

/** Reads a request and answers it. Never rejects. */
type Exchange = () => Promise<void>;

/** Whether the answer that closes the connection has been written, or the connection is cut. */
function isOver({ writableEnded, destroyed }: Socket): boolean {
  return writableEnded || destroyed;
}
