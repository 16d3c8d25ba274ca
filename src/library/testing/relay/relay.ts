/**
 * Connects the driver to a PostgreSQL that speaks only TCP. A WebSocket on /v1/SECRET?address=host:port is one TCP
 * connection to that address, and a POST to /v1/SECRET/sql runs statements as Neon's endpoint does. For development and
 * tests: the relay listens on loopback, dials only the addresses it was started for, and serves only clients that know
 * its secret.
 */
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
// @ts-types="npm:@types/ws@8.18.2"
import { type WebSocket, WebSocketServer } from "ws";
import {
  addressOf,
  admit,
  newPath,
  Refusal,
  refusalOf,
  type RelayTarget,
  unbracketed,
} from "./admission.ts";
import { type Direction, type Link, link } from "./relay_link.ts";
import { SqlEndpoint } from "./sql_endpoint.ts";

export { Refusal, type RelayTarget };

const DIAL_TIMEOUT_MS = 5_000;

/** The relay buffers each message whole, so that it reaches the server as one write. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;

/** Callbacks by which tests count traffic. `id` numbers the relay's connections from 1. `bytes` must not be changed. */
export interface RelayObserver {
  open?(id: number): void;
  message?(id: number, direction: Direction, bytes: Uint8Array): void;
  close?(id: number): void;
}

export interface RelayOptions {
  /** The relay refuses every other address. */
  readonly targets: readonly RelayTarget[];
  /** Default 0: the system picks a free port. */
  readonly port?: number;
  readonly observe?: RelayObserver;
  /** Called with the text of each refusal. */
  readonly onRefusal?: (text: string) => void;
  /** Longest wait for a target to accept the connection. Default 5000. */
  readonly dialTimeoutMs?: number;
  /**
   * Called before a target is dialled. It may wait, throw a `Refusal`, or return its own function to carry the
   * connection.
   */
  readonly admit?: (socket: Duplex, signal: AbortSignal) => Promise<Link>;
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /**
   * The value for `DATABASE_WS_PROXY`. Its path holds a random secret: another account, or a web page in the browser,
   * can connect to the port but does not know the path.
   */
  readonly url: string;
  /** Ends every connection, within 1.5 s, and frees the port. Calling it twice is harmless. */
  close(): Promise<void>;
}

/**
 * Starts a relay on 127.0.0.1. It dials the target before it answers the client's upgrade: a client whose target cannot
 * be reached gets status 502, not a WebSocket that opens and then closes.
 *
 * @throws {Error} with `code` `EADDRINUSE` if the port is taken.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { targets, port = 0, observe, dialTimeoutMs = DIAL_TIMEOUT_MS } = options;
  const path = newPath();
  const upgrades = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  const running = new Map<AbortController, Promise<void>>();
  let opened = 0;

  const sql = new SqlEndpoint({ targets });
  const server = createServer((request, response) => {
    if (request.method === "POST" && refusalOf(request, { path: `${path}/sql` }) === undefined) {
      return void sql.answer(request, response);
    }
    const { status, text } = refusalOf(request, { path }) ??
      new Refusal(426, "the relay speaks WebSocket; send an upgrade request, or a POST to /sql");
    response.writeHead(status, {
      "content-type": "text/plain; charset=utf-8",
      connection: "close",
      ...(status === 426 ? { upgrade: "websocket" } : {}),
    });
    response.end(`${text}\n`);
  });

  server.on("upgrade", (request, socket, head) => {
    const controller = new AbortController();
    const done = connect(request, socket, head, controller)
      .catch((error) => {
        const text = refuse(socket, error);
        options.onRefusal?.(text);
      })
      .finally(() => running.delete(controller));
    running.set(controller, done);
  });

  async function connect(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    controller: AbortController,
  ): Promise<void> {
    const abort = () => controller.abort();
    socket.on("error", abort);
    socket.on("close", abort);
    const target = admit(request, { path, targets });
    const carry = await options.admit?.(socket, controller.signal) ?? link;
    const connection = await dial(target, { timeoutMs: dialTimeoutMs, signal: controller.signal });
    socket.off("close", abort);

    const client = upgrade(upgrades, request, socket, head);
    if (client === undefined) return connection.close();
    const id = ++opened;
    observe?.open?.(id);
    const message = observe?.message?.bind(observe, id);
    await carry(client, connection, { signal: controller.signal, onMessage: message });
    observe?.close?.(id);
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const address = server.address() as AddressInfo;

  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    const freed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const controller of running.keys()) controller.abort();
    await Promise.all([...running.values(), sql[Symbol.asyncDispose]()]);
    server.closeAllConnections();
    await freed;
  }

  return {
    port: address.port,
    url: `ws://127.0.0.1:${address.port}${path}`,
    close: () => closing ??= close(),
    [Symbol.asyncDispose]: () => closing ??= close(),
  };
}

async function dial(
  target: RelayTarget,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<Deno.TcpConn> {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  try {
    const connection = await Deno.connect({
      hostname: unbracketed(target.hostname),
      port: target.port,
      signal: AbortSignal.any([timeout.signal, signal]),
    });
    connection.setNoDelay(true);
    return connection;
  } catch (error) {
    const reason = timeout.signal.aborted
      ? `no answer within ${timeoutMs} ms`
      : String(error instanceof Error ? error.message : error);
    throw new Refusal(
      502,
      `the relay could not reach ${addressOf(target)}: ${reason}; check that PostgreSQL runs there`,
    );
  } finally {
    clearTimeout(timer);
  }
}

/** `undefined` if the handshake was invalid; `ws` has then answered the client with the error. */
function upgrade(
  upgrades: WebSocketServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): WebSocket | undefined {
  let client: WebSocket | undefined;
  upgrades.handleUpgrade(request, socket, head, (upgraded) => client = upgraded);
  return client;
}

/** Returns the text that it has sent. */
function refuse(socket: Duplex, error: unknown): string {
  const { status, text } = error instanceof Refusal
    ? error
    : new Refusal(500, "the relay itself failed");
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
      "Content-Type: text/plain; charset=utf-8\r\n" +
      `Content-Length: ${new TextEncoder().encode(body).length}\r\n` +
      `Connection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
  return text;
}
