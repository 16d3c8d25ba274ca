/** TCP servers and WebSocket clients for the tests of the relay. They misbehave on demand. */
import { assertEquals } from "@std/assert";
import {
  type Relay,
  type RelayOptions,
  startRelay,
} from "../../src/library/testing/relay/relay.ts";

export const MIB = 1024 * 1024;

type Serve = (connection: Deno.TcpConn) => Promise<void>;

/** Two TCP servers on loopback: `serve` handles the connections of `address`, `other` those of `otherAddress`. */
export class Peer implements AsyncDisposable {
  readonly #listeners: Deno.TcpListener[] = [];
  readonly #served: Promise<void>[] = [];
  readonly #connections = new Set<Deno.TcpConn>();
  readonly address: string;
  readonly otherAddress: string;

  constructor(serve: Serve, other: Serve = serve) {
    [this.address, this.otherAddress] = [this.#listen(serve), this.#listen(other)];
  }

  get targets(): RelayOptions["targets"] {
    return [this.address, this.otherAddress].map(targetOf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections) close(connection);
    await Promise.all(this.#served);
  }

  #listen(serve: Serve): string {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#listeners.push(listener);
    this.#served.push(this.#accept(listener, serve));
    return `127.0.0.1:${listener.addr.port}`;
  }

  async #accept(listener: Deno.TcpListener, serve: Serve): Promise<void> {
    for await (const connection of listener) {
      this.#connections.add(connection);
      connection.setNoDelay(true);
      // The error of a connection that was cut adds nothing to what the test asserts.
      const served = serve(connection).catch(() => {}).finally(() => close(connection));
      this.#served.push(served);
    }
  }
}

/** A port whose accept queue is full: a dial gets no answer. */
export class DeafPeer implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  readonly #fillers: Deno.TcpConn[] = [];
  readonly address = `127.0.0.1:${this.#listener.addr.port}`;
  readonly target = targetOf(this.address);

  static async listen(): Promise<DeafPeer> {
    const peer = new DeafPeer();
    // Linux completes one handshake more than the backlog.
    for (let filler = 0; filler < 2; filler++) {
      peer.#fillers.push(await Deno.connect(peer.target));
    }
    return peer;
  }

  [Symbol.dispose](): void {
    for (const filler of this.#fillers) filler.close();
    this.#listener.close();
  }
}

/** Deno's own WebSocket, whose bytes are read in order. */
export class Client {
  readonly socket: WebSocket;
  readonly closed: Promise<CloseEvent>;
  #received = new Uint8Array(0);
  #arrived = Promise.withResolvers<void>();

  private constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.closed = once<CloseEvent>(this.socket, "close");
    this.socket.onmessage = ({ data }) => {
      this.#received = Uint8Array.of(...this.#received, ...new Uint8Array(data));
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    };
  }

  static async open(relay: Relay, address: string): Promise<Client> {
    const client = new Client(`${relay.url}?address=${address}`);
    await once(client.socket, "open");
    return client;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.socket.send(bytes);
  }

  async receive(size: number): Promise<Uint8Array> {
    while (this.#received.length < size) await this.#arrived.promise;
    const bytes = this.#received.slice(0, size);
    this.#received = this.#received.slice(size);
    return bytes;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}

export function relayTo(peer: Peer, options: Partial<RelayOptions> = {}): Promise<Relay> {
  return startRelay({ targets: peer.targets, ...options });
}

function targetOf(address: string): { hostname: string; port: number } {
  const [hostname = "", port] = address.split(":");
  return { hostname, port: Number(port) };
}

export const echo: Serve = async (connection) => {
  const buffer = new Uint8Array(64 * 1024);
  for (let size; (size = await connection.read(buffer)) !== null;) {
    await writeAll(connection, buffer.subarray(0, size));
  }
};

/**
 * Resolves once a count stays the same for 500 round trips through the relay. These measure the time: a count that does
 * not change during so many of them waits for another event.
 */
export async function standstill(
  relay: Relay,
  echoAddress: string,
  count: () => number,
): Promise<void> {
  const client = await Client.open(relay, echoAddress);
  let last = -1;
  for (let still = 0; still < 500; still = count() === last ? still + 1 : 0) {
    last = count();
    client.send(Uint8Array.of(0));
    await client.receive(1);
  }
  await client.close();
}

export const CLOSE_FRAME_PAYLOAD_BYTES = 2;

/** Opens a WebSocket over plain TCP, whose test decides when to read. No WebSocket class can do that. */
export async function handshake(relay: Relay, address: string): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  await writeAll(connection, upgradeRequest(`${pathOf(relay)}?address=${address}`));
  const head = new Uint8Array(1);
  for (let text = ""; !text.endsWith("\r\n\r\n");) {
    assertEquals(await connection.read(head), 1);
    text += String.fromCharCode(head[0]!);
  }
  return connection;
}

/** The relay's path, with its secret. */
export function pathOf(relay: Relay): string {
  return new URL(relay.url).pathname;
}

/** `host` with other header lines after it, if any. */
function upgradeRequest(
  path: string,
  version = "Sec-WebSocket-Version: 13",
  host = "127.0.0.1",
): Uint8Array {
  return new TextEncoder().encode(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Key: ${btoa("sixteen bytes ok")}\r\n${version}\r\n\r\n`,
  );
}

/** A client's frame of up to 125 bytes, with a mask of zeros. */
export function maskedFrame(payload: Uint8Array): Uint8Array {
  return Uint8Array.of(0x82, 0x80 | payload.length, 0, 0, 0, 0, ...payload);
}

/** The text of the relay's answer to an upgrade request. */
export async function upgradeAnswer(
  relay: Relay,
  path: string,
  { version, host }: { version?: string; host?: string } = {},
): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  await writeAll(connection, upgradeRequest(path, version, host));
  return await new Response(connection.readable).text();
}

/** The payloads of a server's frames, up to the close frame's. */
export async function* frames(connection: Deno.TcpConn): AsyncGenerator<Uint8Array> {
  for (;;) {
    const [first = 0, short = 0] = await readExactly(connection, 2);
    const extended = await readExactly(connection, short === 127 ? 8 : short === 126 ? 2 : 0);
    const size = short < 126 ? short : extended.reduce((sum, byte) => sum * 256 + byte, 0);
    yield await readExactly(connection, size);
    if ((first & 0x0f) === 8) return;
  }
}

export async function readExactly(connection: Deno.TcpConn, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let filled = 0; filled < size;) {
    const read = await connection.read(bytes.subarray(filled));
    if (read === null) throw new Error(`Cannot read ${size} bytes as the peer ended at ${filled}`);
    filled += read;
  }
  return bytes;
}

export async function sizeOf(connection: Deno.TcpConn): Promise<number> {
  let size = 0;
  for await (const chunk of connection.readable) size += chunk.length;
  return size;
}

export async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

// The period is prime, so that no chunk size hides a chunk that is lost, doubled or swapped.
const PERIOD = Uint8Array.from({ length: 8 * MIB }, (_, index) => index % 251);

export function pattern(start: number, size: number): Uint8Array {
  return PERIOD.subarray(start % 251, start % 251 + size);
}

export function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

export function once<E extends Event>(target: EventTarget, type: string): Promise<E> {
  return new Promise((resolve) =>
    target.addEventListener(type, (event) => resolve(event as E), { once: true })
  );
}
