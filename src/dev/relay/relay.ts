/**
 * `deno task relay`: connects the WebSocket driver to a PostgreSQL that speaks only TCP. A WebSocket on
 * /v1?address=host:port is one TCP connection to that address. For development and tests: the relay listens on loopback
 * and dials only the addresses it was started for.
 */
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
// @ts-types="npm:@types/ws@8.18.2"
import { type WebSocket, WebSocketServer } from "ws";
import { listenForSignals } from "../../deno/signals.ts";
import { type Direction, type Link, link } from "./relay_link.ts";

const PATH = "/v1";

const DIAL_TIMEOUT_MS = 5_000;

/** The relay buffers each message whole, so that it reaches the server as one write. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;

/** A TCP address the relay may dial. */
export interface RelayTarget {
  readonly hostname: string;
  readonly port: number;
}

/** Callbacks by which tests count traffic. `id` numbers the relay's connections from 1. `bytes` must not be changed. */
export interface RelayObserver {
  open?(id: number): void;
  message?(id: number, direction: Direction, bytes: Uint8Array): void;
  close?(id: number): void;
}

export interface RelayOptions {
  /** The relay refuses every other address with 403. */
  readonly targets: readonly RelayTarget[];
  /** Default 0: the system picks a free port. */
  readonly port?: number;
  readonly observe?: RelayObserver;
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
  /** The value for `DATABASE_WS_PROXY`. */
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
  const { targets, port = 0, observe, dialTimeoutMs = DIAL_TIMEOUT_MS, admit } = options;
  const upgrades = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  const running = new Map<AbortController, Promise<void>>();
  let opened = 0;

  const server = createServer((request, response) => {
    const { status, text } = pathOf(request) === PATH
      ? new Refusal(426, `Cannot answer as ${PATH} speaks only WebSocket; send an upgrade request`)
      : new Refusal(404, unknownPath("answer", pathOf(request)));
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
      .catch((error) => refuse(socket, error))
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
    const target = targetOf(request, targets);
    const carry = await admit?.(socket, controller.signal) ?? link;
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
    await Promise.all(running.values());
    server.closeAllConnections();
    await freed;
  }

  return {
    port: address.port,
    url: `ws://127.0.0.1:${address.port}${PATH}`,
    close: () => closing ??= close(),
    [Symbol.asyncDispose]: () => closing ??= close(),
  };
}

/** An HTTP error response, sent instead of an upgrade. */
export class Refusal extends Error {
  constructor(readonly status: number, readonly text: string) {
    super(text);
  }
}

function pathOf(request: IncomingMessage): string {
  return new URL(request.url ?? "/", "ws://relay").pathname;
}

function unknownPath(action: "answer" | "relay", path: string): string {
  return `Cannot ${action} as the relay has only the path ${PATH}: current path ${path}; use ${PATH}`;
}

function targetOf(request: IncomingMessage, targets: readonly RelayTarget[]): RelayTarget {
  const url = new URL(request.url ?? "/", "ws://relay");
  if (url.pathname !== PATH) {
    throw new Refusal(404, unknownPath("relay", url.pathname));
  }
  const address = url.searchParams.get("address") ?? "";
  const target = targets.find((each) => addressOf(each) === unbracketed(address));
  if (target !== undefined) return target;
  const allowed = targets.map(addressOf).join(", ");
  throw new Refusal(
    403,
    "Cannot relay as the relay was not started for this address: current value " +
      `${JSON.stringify(address)}; use ${allowed}`,
  );
}

function addressOf({ hostname, port }: RelayTarget): string {
  return `${unbracketed(hostname)}:${port}`;
}

/** The driver and `URL` differ in whether they put an IPv6 address in brackets. */
function unbracketed(host: string): string {
  return host.replace(/[[\]]/g, "");
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
    const reason = timeout.signal.aborted ? `no answer within ${timeoutMs} ms` : String(error);
    const address = addressOf(target);
    throw new Refusal(
      502,
      `Cannot relay as ${address} cannot be reached: ${reason}; check that PostgreSQL runs there`,
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

function refuse(socket: Duplex, error: unknown): void {
  const { status, text } = error instanceof Refusal
    ? error
    : new Refusal(500, "Cannot relay as the relay itself failed");
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
      "Content-Type: text/plain; charset=utf-8\r\n" +
      `Content-Length: ${new TextEncoder().encode(body).length}\r\n` +
      `Connection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/** Parses `host:port` arguments. */
function parseTargets(addresses: readonly string[]): RelayTarget[] {
  return addresses.map((address) => {
    const [, hostname, port] = /^(.+):(\d+)$/.exec(address) ?? [];
    if (hostname === undefined) {
      throw new TypeError(
        `Cannot start the relay as a target must be host:port: current value ${address}`,
      );
    }
    return { hostname, port: Number(port) };
  });
}

if (import.meta.main) {
  const targets = parseTargets(Deno.args);
  if (targets.length === 0) {
    console.error("Cannot start the relay as it has no target; pass one, such as 127.0.0.1:5432");
    Deno.exit(2);
  }
  const relay = await startRelay({ targets });
  console.log(`DATABASE_WS_PROXY=${relay.url}`);
  listenForSignals({
    onFirst: () => relay.close().then(() => Deno.exit(0)),
    onSecond: () => Deno.exit(130),
  });
}
